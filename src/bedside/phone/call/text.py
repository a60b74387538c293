"""A call in a terminal, line by line, through the same core as a call by voice; with a transcript that tells the time of each stage.

can i get in with doctor nguyen on thursday     something said
/partial i've got chest                         something half said
/5  /0491570006#                                a key, or several
(an empty line)                                 three seconds of silence
/noise   /hangup                                what else happens on a line
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bedside.phone.call.actions import Understand
from bedside.phone.call.desk import Desk
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.events import (
    Act,
    Action,
    Connected,
    Done,
    Event,
    Fault,
    HangUp,
    Heard,
    HungUp,
    Noise,
    Note,
    Pressed,
    Say,
    Silence,
    Spoken,
    Transfer,
    TransferFailed,
    Transferred,
    Voicemail,
)
from bedside.phone.call.line import State
from bedside.phone.call.machine import SILENCE, Call
from bedside.phone.call.watch import prepare

log = logging.getLogger(__name__)

_KEYS = re.compile(r"/([0-9*#]+)")

Stage = Literal["hearing", "safety", "understanding", "action", "first_audio"]
Write = Callable[[str, Mapping[str, Any]], object]
"""Takes an event of the audit log with its facts."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        who: `caller`, `line`, or `note` for what is neither said nor heard.
        what: the prompt's id, the kind of event, or the note's name.
        text: what was said, heard or noted.
        ms: for an event of the caller, milliseconds that each stage took until the line had its answer; by voice also `first_audio`, from
            the end of the caller's words to the first sound of that answer.
    """

    who: Literal["caller", "line", "note"]
    what: str
    text: str
    ms: dict[Stage, float] = field(default_factory=dict)


@dataclass(slots=True)
class Transcript:
    """A call as it went.

    Attributes:
        entries: in order.
        ended: how it ended: `person`, `message`, `hang-up`, or `caller` where the caller hung up.
    """

    entries: list[Entry] = field(default_factory=list)
    ended: str = "caller"

    def as_json(self) -> dict[str, Any]:
        """The transcript as plain values."""
        return asdict(self)

    @property
    def prompts(self) -> list[str]:
        """Ids of all that the line said, in order."""
        return [entry.what for entry in self.entries if entry.who == "line"]


@dataclass(slots=True)
class Driver:
    """Feeds events to a call and carries its requests out at once, one after the other.

    Attributes:
        call: the call.
        desk: who carries requests out.
        ms: milliseconds that each stage took since it was last cleared.
    """

    call: Call
    desk: Desk
    ms: dict[Stage, float] = field(default_factory=dict)

    def feed(self, event: Event) -> list[Action]:
        """All that the line does about an event, until it waits for the next one."""
        waiting: deque[Event] = deque([event])
        actions: list[Action] = []
        while waiting:
            began = time.perf_counter()
            out = self.call.receive(waiting.popleft())
            self._took("safety", began)
            for action in out:
                actions.append(action)
                if isinstance(action, Act):
                    waiting.append(self._perform(action))
                elif isinstance(action, Say):
                    waiting.append(Spoken(action.prompt))
        return actions

    def _perform(self, act: Act) -> Event:
        began = time.perf_counter()
        try:
            return Done(act.id, self.desk.perform(act.id, act.request))
        except Exception:  # whatever a part does, the call goes on and ends with a person
            log.exception("%s failed", type(act.request).__name__)
            return Fault(act.part, act.id)
        finally:
            self._took("understanding" if isinstance(act.request, Understand) else "action", began)

    def _took(self, stage: Stage, began: float) -> None:
        self.ms[stage] = round(self.ms.get(stage, 0.0) + (time.perf_counter() - began) * 1000, 3)


def text_call(
    setting: Setting,
    desk: Desk,
    lines: Iterable[str],
    write: Callable[[str], None],
    *,
    answered: bool = True,
    release: str = "",
    audit: Write = lambda event, facts: None,
    transcript: Transcript | None = None,
) -> Transcript:
    """Hold a conversation, and hang up when the lines are over.

    Args:
        setting: the practice and the clock; its caller's number is what the line sees.
        desk: the model or the words of the menu, and the practice's systems.
        lines: what the caller does; the layout stands at the top of this module.
        write: gets each line of the conversation.
        answered: whether somebody takes transferred calls.
        release: hash of the model's release, for the log.
        audit: gets what the audit log is to keep.
        transcript: grows as the call goes on, so that the lines can answer it; a new one by default.
    """
    prepare(setting.practice, setting.today)
    driver, transcript = Driver(Call(setting, release), desk), transcript or Transcript()
    audit("call.started", {"transport": "text", "admitted": True})
    try:
        for line, event in _events(setting, lines):
            if driver.call.state in (State.ENDED, State.MESSAGE):
                break
            _turn(driver, transcript, write, audit, event, line, answered)
    finally:
        desk.close()
    return transcript


def _events(setting: Setting, lines: Iterable[str]) -> Iterator[tuple[str, Event]]:
    """A whole call: the lines with what they stand for, between its beginning and the caller's hanging up."""
    yield "", Connected(setting.caller)
    for line in lines:
        keys = _KEYS.fullmatch(line.strip())
        yield from ((line, Pressed(key)) for key in keys[1]) if keys else ((line, event_of(line)),)
    yield "/hangup", HungUp()


def event_of(line: str) -> Event:
    """What a line of a conversation stands for; of several keys the first."""
    said = line.strip()
    command, _, rest = said.removeprefix("/").partition(" ")
    if not said:
        return Silence(SILENCE)
    if not said.startswith("/"):
        return Heard(said)
    if command == "partial":
        return Heard(rest, final=False)
    if command == "noise":
        return Noise()
    return HungUp() if command == "hangup" else Pressed(command[:1])


def _turn(
    driver: Driver, transcript: Transcript, write: Callable[[str], None], audit: Write, event: Event, line: str, answered: bool
) -> None:
    driver.ms = {}
    place = len(transcript.entries)
    for action in _with_transfers(driver, event, answered):
        if isinstance(action, Note):
            audit(action.event, action.facts)
        entry = _entry(action)
        if entry is not None:
            transcript.entries.append(entry)
            if entry.who == "line" or entry.what in ("transfer", "voicemail"):
                write(f"{'line' if entry.who == 'line' else entry.what:>10}: {entry.text}")
        transcript.ended = {Transfer: "person", Voicemail: "message", HangUp: "hang-up"}.get(type(action), transcript.ended)
    transcript.entries.insert(place, Entry("caller", type(event).__name__, line, dict(driver.ms)))


def _with_transfers(driver: Driver, event: Event, answered: bool) -> list[Action]:
    """What the line does about an event, and what follows when somebody, or nobody, takes a transfer."""
    actions = driver.feed(event)
    while actions and driver.call.state is State.HANDING_OVER and isinstance(actions[-1], Transfer):
        actions += driver.feed(Transferred() if answered else TransferFailed())
        if answered:
            break
    return actions


def facts_in_words(facts: Mapping[str, Any]) -> str:
    """The facts of a note for a person to read: `rules=RF-1, RF-2; accepted=yes`."""
    return "; ".join(f"{name}={_in_words(value)}" for name, value in facts.items())


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_in_words, value)) if isinstance(value, list | tuple) else str(value)


def _entry(action: Action) -> Entry | None:
    if isinstance(action, Say):
        return Entry("line", action.prompt, action.text)
    if isinstance(action, Note):
        return Entry("note", action.event, facts_in_words(action.facts))
    if isinstance(action, Transfer):
        return Entry("note", "transfer", f"{action.to}: {action.summary}")
    return Entry("note", "voicemail", action.summary) if isinstance(action, Voicemail) else None
