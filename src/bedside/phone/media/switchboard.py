"""Admits calls up to what the machine can bear, answers each on its own, and sends the rest to reception."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

from bedside.phone.leg import CallLeg
from bedside.phone.media.paced_leg import PacedLeg
from bedside.phone.media.pacer import Pacer

log = logging.getLogger(__name__)

Answer = Callable[[CallLeg], Awaitable[None]]
"""Conducts one call; when it returns the call is hung up."""


class Switchboard:
    """The calls of one machine, by whatever transport they come. Use it as an async context: leaving it ends every call.

    Attributes:
        limit: calls at once.
        overflow: number, extension or SIP address that calls over the limit go to, and calls whose conduct failed; "" for none.
        longest_s: seconds after which any call is ended.
        pacer: the clock of all legs.
        counts: calls "admitted", "refused" and "failed" so far.
    """

    def __init__(self, answer: Answer, limit: int, overflow: str = "", longest_s: int = 900) -> None:
        self.limit = limit
        self.overflow = overflow
        self.longest_s = longest_s
        self.pacer = Pacer()
        self.counts: Counter[str] = Counter()
        self._answer = answer
        self._calls: dict[PacedLeg, asyncio.Task[None]] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        await self.pacer.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._closing = True
        for leg in tuple(self._calls):
            leg.end("the line is shut down", far_end=False)
        if self._calls:
            # Each call has seen its hang-up and may still write its log; one that hangs is cut off.
            hanging = (await asyncio.wait(tuple(self._calls.values()), timeout=5))[1]
            for task in hanging:
                task.cancel()
        await self.pacer.__aexit__(*exception)

    @property
    def calls(self) -> int:
        """Calls under way."""
        return len(self._calls)

    def has_room(self) -> bool:
        """Whether one more call may come in; a refusal is counted."""
        room = not self._closing and self.calls < self.limit
        self.counts["refused"] += not room
        return room

    def connect(self, leg: PacedLeg) -> None:
        """Start a call on an answered leg."""
        self.counts["admitted"] += 1
        log.info("call %s is %r at the far end", leg.id, leg.far_id)
        self.pacer.add(leg)
        self._calls[leg] = asyncio.create_task(self._conduct(leg), name=f"call {leg.id}")

    async def _conduct(self, leg: PacedLeg) -> None:
        try:
            await self._answer(leg)
        except Exception:  # one call's fault, whatever it is, ends that call with a human where there is one
            log.exception("call %s failed", leg.id)
            self.counts["failed"] += 1
            if self.overflow and not leg.ended:
                await leg.transfer(self.overflow)
        finally:
            await leg.hang_up()
            self.pacer.discard(leg)
            del self._calls[leg]
