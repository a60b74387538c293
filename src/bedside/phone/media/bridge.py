"""Two legs joined: the caller talks with a human, and the line only carries their voices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bedside.phone.leg import Audio, CallLeg, Played

_MOST_WAITING = 10
"""Frames that may wait to be played; older ones are dropped, for 200 ms of delay is where people begin to talk over each other."""


@dataclass
class _Side:
    leg: CallLeg
    waiting: int = 0


async def join(caller: CallLeg, human: CallLeg) -> None:
    """Let two legs talk with each other until one of them hangs up, and end the other.

    Nobody else may read the events of either: close their sessions first.
    """
    one, other = _Side(caller), _Side(human)
    relays = [asyncio.create_task(_relay(one, other)), asyncio.create_task(_relay(other, one))]
    try:
        await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await caller.hang_up()
        await human.hang_up()
        await asyncio.gather(*relays)


async def _relay(source: _Side, sink: _Side) -> None:
    """Play what comes from one leg on the other, until the first has hung up."""
    async for event in source.leg.events():
        if isinstance(event, Played):
            source.waiting -= 1
        elif isinstance(event, Audio):
            if sink.waiting >= _MOST_WAITING:
                sink.leg.clear()
            sink.waiting += 1
            sink.leg.play(event.pcm)
