"""Calls as the console shows them, from what a phone line keeps: its audit log, transcripts and recordings.

audit/               every decision, see `bedside.workspace.audit`
transcripts/ID.json  what was said and how long each stage took, for as long as the practice keeps it
recordings/ID.wav    only where the caller stayed on after the notice
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

from pydantic import TypeAdapter, ValidationError

from bedside.errors import WorkspaceError
from bedside.knowledge.dispositions import most_urgent
from bedside.phone.call.text import Stage, Transcript
from bedside.workspace.audit import AuditLog, Entry

FIRST_AUDIO: Stage = "first_audio"
"""Not a stage of its own: from the end of the caller's words to the first sound of the answer, over the others."""
STAGES: tuple[Stage, ...] = tuple(stage for stage in get_args(Stage) if stage != FIRST_AUDIO)
"""In the order in which they follow each other in a turn."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_TRANSCRIPT = 4_000_000
_BAR_WIDTH = 240
_SAID = "Heard"
"""What a transcript calls the words of a caller, beside keys, silence and the like."""


@dataclass(slots=True)
class CallSummary:
    """One call, from its entries of the audit log.

    Attributes:
        id: the call's own name.
        events: its entries, in order.
        started, ended: first and last moment; no end where the call is under way, or the line was cut off.
        transport: how it came in.
        disposition: the most urgent that any turn reached; "" where no rule fired.
        rules: ids of all red flags and policies that fired.
        reason: how it ended, in the line's words.
        handed_to: who it was handed to; "" for nobody.
        turns: turns of the caller, as the line counted them; None before the end.
        waits_ms: from the end of each turn of the caller to the first sound of the answer.
    """

    id: str
    events: list[Entry] = field(default_factory=list)
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    transport: str = ""
    disposition: str = ""
    rules: tuple[str, ...] = ()
    reason: str = ""
    handed_to: str = ""
    turns: int | None = None
    waits_ms: list[int] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Take one more entry of this call."""
        self.events.append(entry)
        data = entry.data
        match entry.kind:
            case "call.started":
                self.started, self.transport = entry.at, str(data.get("transport", "")).removesuffix("Leg")
            case "turn.decided":
                self.rules = tuple(dict.fromkeys((*self.rules, *map(str, data.get("rules") or ()))))
                self._rise(data.get("after"))
            case "turn.spoken" if isinstance(data.get("first_audio_ms"), int):
                self.waits_ms.append(data["first_audio_ms"])
            case "handoff.ended" if data.get("accepted"):
                self.handed_to = str(data.get("to", ""))
            case "call.ended":
                self.ended, self.reason, self.turns = entry.at, str(data.get("reason", "")), data.get("turns")
                self._rise(data.get("disposition"))

    def _rise(self, to: Any) -> None:
        if isinstance(to, str) and to:
            self.disposition = most_urgent(self.disposition, to) if self.disposition else to

    @property
    def seconds(self) -> int | None:
        """Length of a call that is over."""
        return round((self.ended - self.started).total_seconds()) if self.started and self.ended else None


class Segment(NamedTuple):
    """A stage of a turn in the figure of timings: place and width in units of the figure."""

    stage: str
    x: float
    width: float
    ms: float


class Bar(NamedTuple):
    """A turn of the caller in the figure of timings.

    Attributes:
        turn: its number, from 1.
        total: milliseconds of all stages.
        segments: the stages.
        first_audio: when the first sound of the answer came, as a place in the figure; None where nobody measured it.
        end: where the last segment, or the first sound, stands.
    """

    turn: int
    total: float
    segments: list[Segment]
    first_audio: float | None
    end: float


class CallLog:
    """What a line keeps of its calls.

    Args:
        folder: the line's `--data` folder, which the settings call `phone.data`.

    Raises:
        WorkspaceError: none is set, or no line has kept anything there.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is None:
            raise WorkspaceError(
                "the gateway was not told where the phone line keeps its calls", "Set phone.data in gateway.yaml to its --data folder"
            )
        if not (folder / "audit" / "key").is_file():
            problem = f"{str(folder)!r}, which phone.data names, holds no audit log of a phone line"
            raise WorkspaceError(problem, "Correct it, or bring the line up once: bedside phone serve")
        self._folder = folder
        self.audit = AuditLog(folder / "audit")

    def on(self, day: dt.date, by: str) -> list[CallSummary]:
        """Calls that began on a day by this machine's clock, newest first; that `by` looked is logged.

        Raises:
            AuditError: the log cannot be read.
        """
        # The log's files are days of UTC, of which a local day touches two.
        entries = self.audit.read(by, since=day - dt.timedelta(days=1), until=day + dt.timedelta(days=1))
        calls = [call for call in _gathered(entries) if call.started and call.started.astimezone().date() == day]
        return sorted(calls, key=lambda call: call.started or dt.datetime.min, reverse=True)

    def call(self, day: dt.date, name: str, by: str) -> CallSummary | None:
        """One call that began on a day; None where the log has none of that name. That `by` looked is logged.

        Raises:
            AuditError: the log cannot be read.
        """
        if not _ID.fullmatch(name):
            return None
        entries = self.audit.read(by, call=name, since=day - dt.timedelta(days=1), until=day + dt.timedelta(days=2))
        return next(iter(_gathered(entries)), None)

    def transcript(self, name: str) -> Transcript | None:
        """What was said; None where it is not kept, or no longer.

        Raises:
            WorkspaceError: the file is no transcript.
        """
        path = self._folder / "transcripts" / f"{name}.json"
        if not _ID.fullmatch(name) or not path.is_file():
            return None
        try:
            if path.stat().st_size > _LONGEST_TRANSCRIPT:
                raise ValueError(f"longer than {_LONGEST_TRANSCRIPT} bytes")
            return TypeAdapter(Transcript).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise WorkspaceError(
                f"the transcript of call {name} cannot be read ({why})", "The decisions below stand in the audit log"
            ) from error

    def recording(self, name: str) -> Path | None:
        """The sound of a call; None where there is none."""
        path = self._folder / "recordings" / f"{name}.wav"
        return path if _ID.fullmatch(name) and path.is_file() else None


def bars(transcript: Transcript) -> list[Bar]:
    """How long each stage of each turn took, to one scale."""
    turns = [entry.ms for entry in transcript.entries if entry.who == "caller" and entry.what == _SAID and entry.ms]
    longest = max((max(_total(ms), ms.get(FIRST_AUDIO, 0.0)) for ms in turns), default=0.0)
    scale = _BAR_WIDTH / longest if longest else 0.0
    return [_bar(number, ms, scale) for number, ms in enumerate(turns, 1)]


def _total(ms: dict[Stage, float]) -> float:
    return sum(ms.get(stage, 0.0) for stage in STAGES)


def _bar(turn: int, ms: dict[Stage, float], scale: float) -> Bar:
    segments, x = [], 0.0
    for stage in STAGES:
        if stage in ms:
            segments.append(Segment(stage, round(x, 2), round(ms[stage] * scale, 2), ms[stage]))
            x += ms[stage] * scale
    first = round(ms[FIRST_AUDIO] * scale, 2) if FIRST_AUDIO in ms else None
    return Bar(turn, _total(ms), segments, first, round(max(x, first or 0.0), 2))


def _gathered(entries: Iterable[Entry]) -> list[CallSummary]:
    calls: dict[str, CallSummary] = {}
    for entry in entries:
        name = entry.data.get("call")
        if isinstance(name, str) and _ID.fullmatch(name):
            calls.setdefault(name, CallSummary(name)).add(entry)
    return list(calls.values())
