"""Lines of the example practice that are rung with made voices, in this process."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bedside.errors import BaseModelError
from bedside.phone.call.text import Transcript
from bedside.phone.leg import CallLeg
from bedside.phone.line import Line, LineSettings
from bedside.phone.patients import Patient
from bedside.phone.practice import Practice, read_practice
from bedside.phone.speech.say import Kokoro
from bedside.phone.transports.wav import WavLeg
from fixtures_phone_media import program, skip_or_fail

ROOT = Path(__file__).resolve().parents[3]
MONDAY = dt.datetime(2026, 11, 23, 9, 0)
SUNDAY = dt.datetime(2026, 11, 22, 9, 0)
MARY = Patient("p1", "Brown", "Mary", dt.date(1962, 3, 3), mobile="0491570156", street="12 Banksia Lane", postcode="2999")
KEYS = "0123456789*#"


def practice() -> Practice:
    return read_practice(ROOT / "practices" / "wattle-street.yaml")


def caller_voice(*said: str) -> dict[str, bytes]:
    """Sentences in a voice that is not the line's, all from one process."""
    program("espeak-ng", "espeak-ng")
    os.environ.setdefault("BEDSIDE_CACHE", str(ROOT / ".cache" / "bedside"))

    async def speak() -> dict[str, bytes]:
        voice = Kokoro("bm_george")
        made = {text: await voice.speak(text) for text in dict.fromkeys(said)}
        await voice.close()
        return made

    try:
        return asyncio.run(speak())
    except BaseModelError as error:
        skip_or_fail(str(error))
        raise


@dataclass
class Rung:
    """A call on a line: its leg, and its transcript once it is over."""

    line: Line
    leg: WavLeg
    over: asyncio.Future[Transcript]
    going: Transcript | None = None

    def mouth_says(self, prompt: str) -> bool:
        """Whether the line has begun to say a sentence."""
        return self.going is not None and prompt in self.going.prompts

    @property
    def transcript(self) -> Transcript:
        return self.over.result()

    def notes(self, name: str) -> list[str]:
        return [entry.text for entry in self.transcript.entries if entry.what == name]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something on the call, or its end."""
        while not condition() and not self.over.done():
            await asyncio.sleep(0.02)


Meanwhile = Callable[[Rung], Awaitable[None]]


class Lines:
    """Rings one line, and keeps which transcript belongs to which leg."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._calls: dict[str, Rung] = {}
        self._legs: dict[int, str] = {}
        line.began, line.ended = self._began, self._ended

    def _began(self, leg: CallLeg, transcript: Transcript) -> None:
        self._legs[id(transcript)] = leg.id
        if (rung := self._calls.get(leg.id)) is not None:
            rung.going = transcript

    def _ended(self, transcript: Transcript) -> None:
        if (rung := self._calls.get(self._legs[id(transcript)])) is not None:
            rung.over.set_result(transcript)

    async def ring(self, pieces: Sequence[bytes | str], meanwhile: Meanwhile | None = None, ready: bool = False) -> Rung:
        leg = WavLeg(pieces, longest_s=180, ready=ready)
        rung = Rung(self.line, leg, asyncio.get_running_loop().create_future())
        self._calls[leg.id] = rung
        self.line.switchboard.connect(leg)
        if meanwhile:
            await meanwhile(rung)
        await asyncio.wait_for(rung.over, 200)
        return rung


@asynccontextmanager
async def line_up(folder: Path, now: dt.datetime = MONDAY, limit: int = 32, of: Practice | None = None) -> AsyncIterator[Lines]:
    """A line with Mary among its patients, its prompts ready, and a log that is whole when it is over."""
    of = of or practice()
    moment = now.replace(tzinfo=of.zone).astimezone(dt.UTC)
    line = Line(of, LineSettings(folder, voice="espeak", workers=2, limit=limit), now=lambda: moment)
    async with line:
        line.patients.add(MARY)
        await line.render()
        yield Lines(line)
    assert line.audit.verify().broken is None


async def refuses(target: str) -> bool:
    """In place of a leg's transfer: nobody takes the call."""
    return False
