"""Callers who say the same over and over, many from one process, for measuring load over real SIP and RTP.

    python -m bedside.phone.simulated.load_callers HOST PORT CALLS SECONDS WAV [once]

Each slot of CALLS rings, says the WAV from beginning to end, hangs up and rings again, for SECONDS; `once`: one call each, with the WAV in
a loop and a key every five seconds. Prints one line of JSON: what each call sent and heard.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bedside.phone.leg import FRAME_BYTES, FRAME_MS
from bedside.phone.media.g711 import A_LAW
from bedside.phone.simulated.handset import Handset
from bedside.phone.simulated.telephone import Telephone
from bedside.phone.transports.rtp import Address
from bedside.phone.transports.wav import read_wav

_KEY_EVERY = 250
_QUIET_TICKS = 10
_BETWEEN_S = 0.01
"""Between one caller's dialling and the next one's."""


@dataclass
class Tally:
    """What one call saw.

    Attributes:
        answered: whether the line took it.
        status: why it did not.
        sent, heard, sounding: packets each way, and those heard with sound.
        keys: keys pressed.
        waits_s: from the end of words to the line's first sound, each time.
    """

    answered: bool = False
    status: str = ""
    sent: int = 0
    heard: int = 0
    sounding: int = 0
    keys: int = 0
    waits_s: list[float] = field(default_factory=list)


class LoopingCaller(Handset):
    """Says its audio in a loop.

    Args:
        audio: frames of A-law; words end where silence follows sound.
        keys: press one every five seconds.
        keep: keep what is heard.

    Attributes:
        kept: what was heard, A-law.
    """

    def __init__(self, audio: Sequence[bytes], keys: bool = False, keep: bool = False) -> None:
        super().__init__()
        self.audio, self.keep = audio, keep
        self.kept = bytearray()
        self.tally = Tally()
        self._every = _KEY_EVERY if keys else 0
        self._at = random.randrange(_KEY_EVERY) if keys else 0
        self._spoken_at: float | None = None

    def next_frame(self) -> bytes:
        """The next of the loop."""
        frame, before = self.audio[self._at % len(self.audio)], self.audio[self._at % len(self.audio) - 1]
        if frame == A_LAW.silence != before and self._at:
            self._spoken_at = time.perf_counter()
        self._at += 1
        if self._every and self._at % self._every == 0:
            self.press("5")
            self.tally.keys += 1
        return frame

    def hear(self, codes: bytes) -> None:
        """Keep it, and see whether it is the answer to what was said."""
        if self.keep:
            self.kept += codes
        if self._spoken_at is not None and codes != A_LAW.silence and self.quiet_ticks > _QUIET_TICKS:
            self.tally.waits_s.append(round(time.perf_counter() - self._spoken_at, 3))
            self._spoken_at = None

    def over(self) -> Tally:
        """The tally, at the end of the call."""
        self.tally.sent, self.tally.heard, self.tally.sounding = self.sent, self.heard, self.sounding
        self.tally.status = self.tally.status or self.failed
        return self.tally


async def converse(line: Address, callers: Sequence[LoopingCaller], seconds: float) -> None:
    """Ring once with each caller, one every 10 ms; all hang up so many seconds after the last was dialled."""
    async with Telephone(transfers=False) as telephone, asyncio.TaskGroup() as group:
        last = time.monotonic() + len(callers) * _BETWEEN_S + seconds
        for number, caller in enumerate(callers):
            group.create_task(_call(telephone, line, caller, number, last - time.monotonic()))
            await asyncio.sleep(_BETWEEN_S)


async def ring_on(line: Address, calls: int, seconds: float, make: Callable[[], LoopingCaller]) -> list[Tally]:
    """So many callers at once, who begin spread over one call's length and ring again as long as that call ends within the time; each rings once."""
    tallies: list[Tally] = []
    until = time.monotonic() + seconds

    async def slot(telephone: Telephone, number: int) -> None:
        caller = make()
        length = len(caller.audio) * FRAME_MS / 1000
        await asyncio.sleep(length * number / calls)
        tallies.append(await _call(telephone, line, caller, number, length))
        while time.monotonic() + length < until:
            tallies.append(await _call(telephone, line, make(), number, length))

    async with Telephone() as telephone, asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(slot(telephone, number))
    return tallies


async def _call(telephone: Telephone, line: Address, caller: LoopingCaller, number: int, seconds: float) -> Tally:
    call = telephone.dial(line, caller, f"04915701{number % 100:02d}")
    try:
        caller.tally.status = await telephone.answered(call, caller)
        caller.tally.answered = not caller.tally.status
        if caller.tally.answered:
            await asyncio.sleep(seconds)
    finally:
        telephone.hang_up(call, caller)
    return caller.over()


def frames(wav: Path) -> list[bytes]:
    """A WAV as frames of A-law."""
    pcm = read_wav(wav)
    return [A_LAW.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def main() -> None:
    """Ring, and print the tallies."""
    host, port, calls, seconds, wav = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5])
    audio = frames(wav)
    if sys.argv[6:] == ["once"]:
        callers = [LoopingCaller(audio, keys=True) for _ in range(calls)]
        asyncio.run(converse((host, port), callers, seconds))
        tallies = [caller.over() for caller in callers]
    else:
        tallies = asyncio.run(ring_on((host, port), calls, seconds, lambda: LoopingCaller(audio)))
    print(json.dumps([asdict(tally) for tally in tallies]))


if __name__ == "__main__":
    main()
