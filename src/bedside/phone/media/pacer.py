"""One 20 ms clock for every leg of the line."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Protocol, Self

from bedside.phone.leg import FRAME_MS

log = logging.getLogger(__name__)

_PERIOD = FRAME_MS / 1000
_MOST_BEHIND = 0.2
"""Audio further behind than this helps nobody: it is skipped, and counted."""


class Paced(Protocol):
    """Something that does its work 50 times a second."""

    def tick(self) -> None:
        """Do the work of 20 ms, without waiting for anything."""
        ...

    def fail(self, error: Exception) -> None:
        """`tick` raised this; the clock will not call it again."""
        ...


class Pacer:
    """Calls each member once every 20 ms of real time; after a delay it makes up the missed ticks at once.

    Attributes:
        ticks: ticks given so far.
        late: ticks given more than one period after they were due.
        skipped: ticks never given because the process stood still for longer than 200 ms.
        worst_ms: the longest delay of a tick so far.
    """

    def __init__(self) -> None:
        self.ticks = self.late = self.skipped = 0
        self.worst_ms = 0.0
        self._members: dict[Paced, None] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, member: Paced) -> None:
        """Start ticking a member; it is told in the order of joining."""
        self._members[member] = None

    def discard(self, member: Paced) -> None:
        """Stop ticking a member; one that is not there is no fault."""
        self._members.pop(member, None)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="pacer")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _PERIOD
        while True:
            # Also when late: a sleep of nothing lets the others have one turn between two ticks.
            await asyncio.sleep(max(0.0, due - loop.time()))
            behind = loop.time() - due
            self.worst_ms = max(self.worst_ms, 1000 * behind)
            self.late += behind > _PERIOD
            if behind > _MOST_BEHIND:
                missed = int(behind / _PERIOD)
                self.skipped += missed
                due += missed * _PERIOD
            due += _PERIOD
            self._tick()

    def _tick(self) -> None:
        self.ticks += 1
        for member in tuple(self._members):
            try:
                member.tick()
            except Exception as error:  # one leg's fault, whatever it is, must not stop the others' audio
                log.exception("a leg failed and is ended")
                self.discard(member)
                member.fail(error)
