"""Random events in any order: what has to hold of every call, whatever happens in it."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from clinic_by_phone import MONDAY, Clinic, meaning
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bedside.knowledge.dispositions import disposition
from bedside.phone.call.actions import Identify
from bedside.phone.call.events import (
    Act,
    Action,
    Connected,
    Done,
    Fault,
    HangUp,
    Heard,
    HungUp,
    Listen,
    Noise,
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
from bedside.phone.call.machine import Call
from bedside.phone.call.paths import paths
from bedside.phone.database import Database
from bedside.phone.practice import Practice

_ALARMS = [
    "i've got crushing chest pain",
    "he's not breathing",
    "my face has gone droopy and i can't talk right",
    "she's swallowed all her tablets",
]
_PLAIN = [
    "yes",
    "no",
    "the first one",
    "thursday",
    "friday arvo",
    "book me in",
    "cancel it",
    "purple monkey",
    "",
    "don't record",
    "can you repeat that",
]
_PLAIN += [
    "mary brown third of march nineteen sixty two",
    "0491570006",
    "person",
    "i'm right thanks",
    "mum's script for eliquis",
    "tomorrow",
]


class AnyCall(RuleBasedStateMachine):
    """One call, driven by whatever may happen on a line, in any order."""

    practice: Practice
    seeded: Path

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "clinic.sqlite"
        shutil.copy(self.seeded, path)
        self.clinic = Clinic(self.practice, Database(path), MONDAY.replace(tzinfo=self.practice.zone))
        self.desk = self.clinic.desk()
        self.call = Call(self.clinic.setting())
        self.acts: list[Act] = []
        self.last: list[Action] = []
        self.worst = "ROUTINE"
        self.identified = False

    def teardown(self) -> None:
        self.clinic.database.engine.dispose()
        self._folder.cleanup()

    def _feed(self, event: object) -> None:
        before = self.call.state
        self.last = self.call.receive(event)  # type: ignore[arg-type]
        self.acts += [action for action in self.last if isinstance(action, Act)]
        if before is State.ENDED:
            assert self.last == [], "a call that is over does nothing more"
        for action in self.last:
            if isinstance(action, Say) and action.personal:
                assert self.identified, f"{action.prompt} tells of a record before anybody was identified"

    @initialize(hour=st.sampled_from([9, 22]))
    def rings(self, hour: int) -> None:
        self.clinic.now = self.clinic.now.replace(hour=hour)
        self._feed(Connected())
        assert self.call.state is State.OPEN

    @rule(text=st.sampled_from(_PLAIN), final=st.booleans(), confidence=st.sampled_from([0.3, 0.9]))
    def hears(self, text: str, final: bool, confidence: float) -> None:
        self._feed(Heard(text, final, confidence))

    @rule(text=st.sampled_from(_ALARMS), final=st.booleans())
    def alarm(self, text: str, final: bool) -> None:
        before, urgent = self.call.state, disposition(self.call.disposition).emergency
        self._feed(Heard(text, final))
        if before is State.ENDED:
            return
        assert disposition(self.call.disposition).emergency
        if not urgent:
            said = [action.prompt for action in self.last if isinstance(action, Say)]
            assert disposition(self.call.disposition).says in said, "an emergency has to be answered at once"

    @rule(key=st.sampled_from("0123457*#"))
    def presses(self, key: str) -> None:
        before = self.call.state
        question, keyed = self.call._question, self.call._keyed
        self._feed(Pressed(key))
        if key == "0" and before is State.ASKING and question is not None and question.kind == "number":
            # Telephone numbers begin with 0: alone and followed by a pause it is a person, after other digits it is one of them.
            if keyed:
                return
            self._feed(Silence(3))
        if key == "0" and before in (State.OPEN, State.ASKING, State.WORKING, State.EMERGENCY):
            assert self.call.state in (State.HANDING_OVER, State.MESSAGE)

    @rule(
        event=st.sampled_from(
            [Silence(3), Silence(1), Noise(), Spoken("notice.recorded"), Fault("hearing"), Fault("voice"), TransferFailed()]
        )
    )
    def happens(self, event: object) -> None:
        self._feed(event)

    @precondition(lambda self: self.acts)
    @rule(fails=st.booleans(), which=st.integers(0, 3), intents=st.lists(st.sampled_from(sorted(paths())), max_size=3, unique=True))
    def acts_end(self, fails: bool, which: int, intents: list[str]) -> None:
        act = self.acts.pop(which % len(self.acts))
        if fails:
            self._feed(Fault(act.part, act.id))
            return
        result = meaning(*intents) if act.part == "understanding" else self.desk.perform(act.id, act.request)
        waited_for = self.call._waiting is not None and self.call._waiting[0] == act.id
        self.identified |= isinstance(act.request, Identify) and result is not None and waited_for
        self._feed(Done(act.id, result))

    @rule(steps=st.integers(2, 8), right=st.booleans(), wish=st.sampled_from("1345"))
    def goes_along(self, steps: int, right: bool, wish: str) -> None:
        """A caller who answers what is asked, with details that match a record or do not, and systems that work."""
        if self.call.state is State.OPEN:
            self._feed(Pressed(wish))
        for _ in range(steps):
            if self.call.state is State.WORKING and self.acts:
                self._work()
            elif self.call.state is State.ASKING:
                self._feed(Heard(self._answer(right)))

    def _work(self) -> None:
        waiting = self.call._waiting
        act = next(act for act in self.acts if waiting is not None and act.id == waiting[0])
        self.acts.remove(act)
        result = meaning() if act.part == "understanding" else self.desk.perform(act.id, act.request)
        self.identified |= isinstance(act.request, Identify) and result is not None
        self._feed(Done(act.id, result))

    def _answer(self, right: bool) -> str:
        question = self.call._question
        assert question is not None
        if question.prompt.startswith("identity."):
            birth = "third of march nineteen sixty two" if right else "fourth of may nineteen eighty"
            return "0491570006" if question.prompt == "identity.mobile" else f"mary brown {birth}"
        return {"day": "friday", "choice": "the first", "yes_no": "yes"}.get(question.kind, "coversyl")

    @rule()
    def taken(self) -> None:
        if self.call.state is State.HANDING_OVER:
            self._feed(Transferred())
            assert self.call.state is State.ENDED

    @invariant()
    def urgency_never_falls(self) -> None:
        assert disposition(self.call.disposition).level >= disposition(self.worst).level
        self.worst = self.call.disposition

    @invariant()
    def a_caller_is_never_left_alone(self) -> None:
        """After every event the line listens, works, hands over, takes a message or is over; and each leads to an end by itself."""
        state = self.call.state
        if state is State.WORKING:
            assert self.call._waiting is not None
        if state is State.HANDING_OVER and any(isinstance(action, (Say, Listen)) for action in self.last):
            assert any(isinstance(action, Transfer) for action in self.last)
        if state is State.MESSAGE and self.last and not isinstance(self.last[-1], Voicemail):
            assert not any(isinstance(action, Transfer) for action in self.last)

    @invariant()
    def no_record_is_told_to_a_stranger(self) -> None:
        if not self.identified:
            said = " ".join(action.text for action in self.last if isinstance(action, Say))
            assert "Mary Brown" not in said and "Banksia Lane" not in said.replace("parking behind the building, from Banksia Lane", "")


def _ends(call: Call) -> bool:
    """Whether a call ends with a person, a message or goodbye when nothing but silence and unanswered transfers follow."""
    for _ in range(20):
        if call.state in (State.ENDED, State.MESSAGE):
            return True
        out = call.receive(TransferFailed() if call.state is State.HANDING_OVER else Silence(3))
        if any(isinstance(action, HangUp) for action in out):
            return call.state is State.ENDED
    return False


class AnyCallEnds(AnyCall):
    """The same, and at the end the caller falls silent and nobody takes transfers."""

    def teardown(self) -> None:
        if self.call.state is not State.NEW:
            assert _ends(self.call), f"the call hangs in {self.call.state}"
        super().teardown()


@pytest.mark.parametrize("examples", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_whatever_happens_emergencies_are_answered_records_kept_and_calls_ended(practice: Practice, seeded: Path, examples: int) -> None:
    AnyCallEnds.practice, AnyCallEnds.seeded = practice, seeded
    case = AnyCallEnds.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    case().runTest()


def test_hanging_up_ends_a_call_in_every_state(clinic: Clinic) -> None:
    for events in (
        [],
        [Heard("book me in")],
        [Pressed("1")],
        [Heard("i've got chest pain")],
        [Pressed("0")],
        [Pressed("0"), TransferFailed()],
    ):
        call = Call(clinic.setting())
        call.receive(Connected())
        for event in events:
            call.receive(event)
        call.receive(HungUp())
        assert call.state is State.ENDED and call.receive(Heard("hello")) == []


def test_midnight_in_the_middle_of_a_call_changes_nothing(clinic: Clinic) -> None:
    call = Call(clinic.setting())
    call.receive(Connected())
    clinic.now += dt.timedelta(hours=16)
    assert [action.prompt for action in call.receive(Heard("i've got chest pain")) if isinstance(action, Say)] == ["say.e000"]
