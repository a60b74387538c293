"""What a call keeps, and how it speaks: the ground under the ways out of a call (`leaving.py`) and the call itself (`machine.py`)."""

from __future__ import annotations

from enum import Enum
from typing import Any

from bedside.knowledge.dispositions import most_urgent
from bedside.phone.call.actions import Leave, Request
from bedside.phone.call.dialogue import Ask, Script, Setting, Wish
from bedside.phone.call.events import Act, Action, Heard, Listen, Note, Part
from bedside.phone.call.speaking import say
from bedside.phone.call.watch import PLAIN, Alarm


class State(Enum):
    """Where a call stands."""

    NEW = "not answered yet"
    OPEN = "the caller may say what they want"
    ASKING = "a question of a script waits for its answer"
    WORKING = "the model or the practice's systems are at work"
    EMERGENCY = "help was named; the caller is still there"
    HANDING_OVER = "a person is being called"
    MESSAGE = "the caller leaves a message"
    ENDED = "over"


class Line:
    """A call's memory.

    Args:
        setting: the practice, the clock, and what becomes known of the caller.
        release: hash of the model's release, for the audit log; "" without one.
    """

    def __init__(self, setting: Setting, release: str = "") -> None:
        self.setting = setting
        self.state = State.NEW
        self.disposition = PLAIN
        self.rules: tuple[str, ...] = ()
        self.evidence: tuple[str, ...] = ()
        self._release = release
        self._out: list[Action] = []
        self._acts = 0
        self._waiting: tuple[int, Request] | None = None
        self._script: Script[None] | None = None
        self._wish: Wish | None = None
        self._queue: list[Wish] = []
        self._question: Ask | None = None
        self._heard = Heard("")
        self._spoken_over = self._keyed = self._unsure = ""
        self._asked_about: set[str] = set()
        self._reason = "the caller asked for a person"
        self._to: list[str] = []
        self._turns = self._quiet = self._noises = self._misheard = 0
        self._closing = self._talked = self._refused_recording = self._recording = False
        self._same_utterance = self._model_failed = False
        self._alarm: Alarm | None = None

    def _say(self, prompt: str, **slots: str) -> None:
        said = say(self.setting.practice, self.setting.today, prompt, slots)
        if said.personal and self.setting.person is None:
            raise AssertionError(f"{prompt} tells of a record before three identifiers have matched")
        self._out.append(said)

    def _ask(self, question: Ask, state: State = State.ASKING) -> None:
        self._question, self._keyed = question, ""
        self._say(question.prompt, **question.slots)
        self.state = state
        self._out.append(Listen(question.kind))

    def _act(self, request: Request, part: Part) -> None:
        self._acts += 1
        if not (isinstance(request, Leave) and request.kind == "emergency"):
            self._waiting = (self._acts, request)
        self._out.append(Act(self._acts, request, part))

    def _note(self, event: str, **facts: Any) -> None:
        """An event of `workspace/audit_events.yaml`; whoever drives the call adds the call's id and the times."""
        turn = {} if event.startswith(("call.", "handoff.")) else {"turn": self._turns}
        self._out.append(Note(event, {**turn, **facts}))

    def _drop_script(self) -> None:
        """Leave what was being asked or looked up; a result that still comes is not for anybody."""
        if self._script is not None:
            self._script.close()
        self._script, self._waiting, self._question = None, None, None

    def _raise(self, alarm: Alarm) -> None:
        """Add what a turn makes of the call's urgency; nothing here lowers it."""
        if alarm.rules:
            self.disposition = most_urgent(self.disposition, alarm.disposition)
            self.rules = tuple(dict.fromkeys((*self.rules, *alarm.rules)))
            self.evidence = tuple(dict.fromkeys((*self.evidence, *alarm.evidence)))
