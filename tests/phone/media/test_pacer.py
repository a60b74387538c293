"""The clock of all legs."""

from __future__ import annotations

import asyncio
import time

from bedside.phone.media.pacer import Pacer


class Ticked:
    """Counts its ticks; raises at one of them."""

    def __init__(self, raises_at: int = -1) -> None:
        self.ticks = 0
        self.error: Exception | None = None
        self._raises_at = raises_at

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks == self._raises_at:
            raise ZeroDivisionError("broken")

    def fail(self, error: Exception) -> None:
        self.error = error


def test_missed_ticks_are_made_up_after_a_delay() -> None:
    async def run() -> tuple[Ticked, Pacer, float]:
        member = Ticked()
        async with Pacer() as pacer:
            pacer.add(member)
            start = asyncio.get_running_loop().time()
            await asyncio.sleep(0.1)
            time.sleep(0.15)  # somebody holds the process
            await asyncio.sleep(0.1)
            elapsed = asyncio.get_running_loop().time() - start
        return member, pacer, elapsed

    member, pacer, elapsed = asyncio.run(run())
    assert abs(member.ticks + pacer.skipped - elapsed / 0.02) <= 2
    assert pacer.late >= 3 and pacer.worst_ms >= 100


def test_what_is_too_late_is_skipped_and_counted() -> None:
    async def run() -> Pacer:
        async with Pacer() as pacer:
            await asyncio.sleep(0.05)
            time.sleep(1)
            await asyncio.sleep(0.05)
        return pacer

    assert 40 <= asyncio.run(run()).skipped <= 60


def test_a_broken_member_is_ended_and_the_others_go_on() -> None:
    async def run() -> tuple[Ticked, Ticked]:
        broken, sound = Ticked(raises_at=2), Ticked()
        async with Pacer() as pacer:
            pacer.add(broken)
            pacer.add(sound)
            await asyncio.sleep(0.2)
        return broken, sound

    broken, sound = asyncio.run(run())
    assert broken.ticks == 2 and isinstance(broken.error, ZeroDivisionError)
    assert sound.ticks > 4
