"""One call, from the greeting to its end.

    NEW ─▶ OPEN ◀─▶ WORKING ◀─▶ ASKING            a turn, what it means, the questions of a script
             │ a red flag at any state            a person, a fault, two misunderstandings
             ▼                                      ▼
         EMERGENCY ─────────────────────────▶ HANDING_OVER ─▶ MESSAGE ─▶ ENDED

`_TABLE` says what each state does with each event; what it does not list, the state ignores. Before it, every event passes `receive`: the
safety core hears every transcript, key 0 is a person, and a caller who hangs up ends the call, whatever the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bedside.engine.understanding import Understanding
from bedside.knowledge.dispositions import disposition, most_urgent
from bedside.phone.call.actions import Confirm, Understand
from bedside.phone.call.dialogue import Answer, Ask, Do, EmergencyError, PersonNeededError, SaidInsteadError, Script, Tell, Wish
from bedside.phone.call.events import (
    Action,
    Connected,
    Done,
    Event,
    Fault,
    Heard,
    HungUp,
    Listen,
    Noise,
    Part,
    Pressed,
    Silence,
    Spoken,
    StartRecording,
    StopRecording,
    TransferFailed,
    Transferred,
)
from bedside.phone.call.leaving import Leaving
from bedside.phone.call.line import State
from bedside.phone.call.menu import intent_of_key, understand_by_words
from bedside.phone.call.paths import path_of
from bedside.phone.call.scripts import script_named
from bedside.phone.call.scripts.people import happening_now
from bedside.phone.call.turns import (
    LEAST_CONFIDENCE,
    about_emergency,
    about_symptoms,
    asks_again,
    books,
    doubtful,
    is_foreign,
    listed,
    read_back,
    says,
    wants_person,
    wishes,
)
from bedside.phone.call.watch import PLAIN, Alarm, first_aid, same_day_intent, watch
from bedside.phone.words.answers import nothing_more, yes_no
from bedside.phone.words.digits import whole_number
from bedside.phone.words.plain import folded

SILENCE = 3.0
"""Seconds after which a silent caller is asked again (project source book 5.3)."""
CONFIRMED = "happening-now"
"""Stands among the rules of a call whose caller did not deny that an emergency is happening now."""
_PATIENCE = 4
"""Times of silence while a part works, after which it counts as failed."""


class Call(Leaving):
    """A call's state.

    Args:
        setting: the practice, the clock, and what becomes known of the caller.
        release: hash of the model's release, for the audit log; "" without one.
    """

    def receive(self, event: Event) -> list[Action]:
        """What to do about an event, in order.

        Raises:
            KnowledgeError: a sentence of the line cannot be said on this day, which `bedside knowledge check` finds beforehand.
        """
        self._out = []
        if self.state is not State.ENDED:
            self._receive(event)
        return self._out

    def _receive(self, event: Event) -> None:
        if isinstance(event, HungUp):
            self._end("the caller hung up")
        elif isinstance(event, Spoken):
            self._start_recording(event)
        elif isinstance(event, Heard) and self._alarmed(event):
            self._same_utterance = not event.final
        elif isinstance(event, Pressed) and event.key == "0" and self.state in _TALKING and not self._keys_a_number:
            self._person("the caller pressed 0")
        elif isinstance(event, Heard) and event.final and self._aside(event):
            self._quiet = 0
        elif (handler := _TABLE[self.state].get(type(event))) is not None:
            handler(self, event)

    # Opening

    def _greet(self, event: Connected) -> None:
        setting, practice = self.setting, self.setting.practice
        setting.caller = event.caller
        self._note("call.notice", text=practice.opening.greeting, recording=practice.recording.audio)
        self._say(practice.opening.greeting)
        if practice.opening.welcome:
            self._say("practice.says", words=practice.opening.welcome.rstrip("."))
        if not practice.is_open(setting.now):
            self._say(practice.after_hours)
        self._say("notice.recorded" if practice.recording.audio == "after_notice" else "notice.unrecorded")
        self._listen_openly()

    def _start_recording(self, event: Spoken) -> None:
        if event == Spoken("notice.recorded", complete=True) and not self._refused_recording and self.disposition == PLAIN:
            self._recording = True
            self._out.append(StartRecording())
            self._note("call.recording", state="on", reason="the notice was heard")

    # The safety core

    def _alarmed(self, heard: Heard) -> bool:
        """Hear a transcript for red flags; True where the call went another way because of one."""
        if heard.final:
            self._alarm = None
            self._turns += 1
        if not heard.text.strip() or self.state is State.NEW:
            return False
        alarm = watch(heard.text, self.setting.today, self.setting.practice.overlay)
        if alarm.rules:
            after = most_urgent(self.disposition, alarm.disposition)
            self._note("turn.decided", rules=alarm.rules, before=self.disposition, after=after, because=alarm.evidence)
        if alarm.emergency:
            return self._emergency(alarm)
        if heard.final and alarm.level >= disposition("HUMAN").level and self.state in _TALKING:
            self._raise(alarm)
            texts = first_aid(alarm) or [disposition(alarm.disposition).says]
            self._person(f"red flag {', '.join(alarm.rules)}", "nurse" if alarm.disposition == "NURSE_NOW" else "reception", texts[0])
            return True
        if heard.final:
            self._raise(alarm)
            self._alarm = alarm
        return False

    # Words that count in the middle of anything

    def _aside(self, heard: Heard) -> bool:
        """A person, no recording, distress, another language, "say that again": True where that was all there was to do."""
        if self.state not in _TALKING or self.state is State.EMERGENCY or not heard.text.strip():
            return False
        self._talked = True
        if wants_person(heard.text):
            self._person("the caller asked for a person")
        elif says(heard.text, "no_recording"):
            self._stop_recording()
        elif says(heard.text, "distress"):
            self._person("distress", "nurse", "distress.person")
        elif is_foreign(heard.text) and self.state is State.OPEN:
            self._begin([Wish("interpreter", heard.text)])
        elif asks_again(heard.text) and self._question is not None and self.state is not State.WORKING:
            self._ask(self._question, self.state)
        else:
            return False
        return True

    def _stop_recording(self) -> None:
        self._refused_recording = True
        self._note("call.recording", state="off", reason="the caller refused")
        if self._recording:
            self._out.append(StopRecording())
        self._say("recording.stopped" if self._recording else "recording.was_off")
        self._recording = False
        if self._question is not None and self.state is State.ASKING:
            self._ask(self._question)
        elif self.state is State.OPEN:
            self._listen_openly()

    # Turns

    def _listen_openly(self) -> None:
        self._question = None
        self.state = State.OPEN
        self._out.append(Listen())

    def _open_turn(self, heard: Heard) -> None:
        if not heard.final:
            return
        self._quiet = 0
        if self._closing and (done := nothing_more(heard.text)) is not None:
            if done:
                self._goodbye()
            else:
                self._ask(Ask("close.what_else", {}, "open"), State.OPEN)
            return
        self._closing = False
        self._heard = heard
        if self._model_failed:
            self._understood(understand_by_words(heard.text))
        else:
            self._act(Understand(heard.text), "understanding")
            self._wait()

    def _menu_key(self, event: Pressed) -> None:
        intent = intent_of_key(event.key)
        if intent is None:
            self._ask(Ask("noise.keys", {}, "open"), State.OPEN)
        else:
            self._note("turn.key", menu=intent)
            self._begin([Wish(intent)])

    def _understood(self, understanding: Understanding) -> None:
        text, confidence = self._heard.text, self._heard.confidence
        doubt = doubtful(confidence, understanding)
        names, scores = [intent.name for intent in understanding.intents], [intent.p for intent in understanding.intents]
        read = {"slots": list(understanding.slots), "entropy": understanding.entropy, "model": self._release}
        self._note("turn.understood", intents=names, scores=scores, **read)
        if doubt:
            self._note("turn.decided", because=f"in doubt: confidence {confidence:.2f}, entropy {understanding.entropy:.2f}")
        chosen = wishes(text, understanding, rules=self.rules)
        if self._alarm is not None and self._alarm.disposition == "SAME_DAY":
            today = self._today_wish(self._alarm, understanding.slots)
            chosen = [today, *(wish for wish in chosen if wish.intent != today.intent and not (books(wish) and books(today)))]
        if doubt and about_symptoms(understanding):
            self._person("a symptom was not heard well", "nurse", "say.human")
        elif not about_emergency(understanding) and not _for_a_person(chosen) and self._may_be_now(self._alarm):
            self._first(happening_now(), chosen)
        elif not chosen or (doubt and self._misheard):
            self._not_understood()
        elif doubt and not _for_a_person(chosen):
            self._misheard += 1
            self._first(read_back(chosen), chosen)
        else:
            self._begin(chosen)

    def _today_wish(self, alarm: Alarm, slots: Mapping[str, str]) -> Wish:
        return Wish(same_day_intent(alarm.rules), self._heard.text, slots, same_day=True, rules=self.rules)

    def _first(self, script: Script[None], chosen: list[Wish]) -> None:
        """A question that comes before the wishes of a turn."""
        self._wish, self._queue = None, chosen
        self._run(script)

    def _not_understood(self) -> None:
        self._misheard += 1
        if self._misheard > 1:
            self._person("not understood twice")
        else:
            self._ask(Ask("turn.nothing", {}, "open"), State.OPEN)

    def _begin(self, chosen: list[Wish]) -> None:
        """Start with the most urgent wish and say back what comes after it."""
        self._misheard = self._quiet = 0
        self._queue = chosen
        if len(chosen) > 1 and path_of(chosen[0].intent).rank >= _SELF_SERVICE:
            self._say("turn.order", first=listed(chosen[:1]), rest=listed(chosen[1:]))
        self._next()

    def _next(self) -> None:
        if not self._queue:
            self._more()
            return
        self._wish, *self._queue = self._queue
        path = path_of(self._wish.intent)
        self._note("turn.decided", because=f"wish {self._wish.intent}: {path.script}")
        if path.script == "person":
            self._person(path.said, path.to, path.prompt)
        else:
            self._run(script_named(path.script)(self.setting, self._wish))

    def _more(self) -> None:
        then = path_of(self._wish.intent).then if self._wish else "more"
        self._closing = True
        if then == "hang_up":
            self._hang_up("policy")
        elif then == "listen":
            self._listen_openly()
        else:
            self._ask(Ask("close.anything_else", {}, "open"), State.OPEN)

    # Scripts

    def _run(self, script: Script[None]) -> None:
        self._script = script
        self._advance(None)

    def _advance(self, value: Any) -> None:
        """Give a script its answer or result and carry out what it yields, until it waits again."""
        script = self._script
        if script is None:
            return
        try:
            step = script.send(value)
            while isinstance(step, Tell):
                self._say(step.prompt, **step.slots)
                step = script.send(None)
        except StopIteration:
            self._script_over()
        except PersonNeededError as needed:
            self._person(needed.reason, needed.to, needed.prompt)
        except EmergencyError:
            self._raise(Alarm("E000", (CONFIRMED,), (), ask_now=False))
            self._enter_emergency([])
        except SaidInsteadError as said:
            self._script = None
            self._queue = []
            self._open_turn(Heard(said.text, confidence=self._heard.confidence))
        else:
            if isinstance(step, Do):
                self._act(step.request, "diary")
                self._wait()
            else:
                self._ask(step)

    def _script_over(self) -> None:
        self._script = None
        if self._wish is not None and self._queue:
            self._say("turn.next", next=path_of(self._queue[0].intent).said)
        self._next()

    def _answered(self, heard: Heard) -> None:
        if not heard.final:
            return
        self._quiet = 0
        self._heard = heard
        if (self._alarm is not None and self._interposed(self._alarm)) or self._keyed:
            return
        closed = self._question is not None and self._question.kind in ("yes_no", "choice")
        said = folded(heard.text) if (answer := yes_no(heard.text)) is None else str(answer)
        # Words that were heard badly twice and said the same both times were heard well enough.
        unsure = closed and heard.confidence < LEAST_CONFIDENCE and said != self._unsure
        self._unsure = said if unsure else ""
        self._advance(Answer("" if unsure else heard.text, confidence=heard.confidence))

    def _interposed(self, alarm: Alarm) -> bool:
        """A symptom told in the middle of a script comes first; what was being done is taken up again after it, from its beginning."""
        if alarm.disposition == "SAME_DAY" and not (self._wish and self._wish.same_day):
            today = self._today_wish(alarm, {})
            left = [wish for wish in (self._wish, *self._queue) if wish is not None and not (books(wish) and books(today))]
            self._drop_script()
            self._begin([today, *left])
        elif (wish := self._wish) is not None and wish.intent != "emergency" and self._may_be_now(alarm):
            self._drop_script()
            self._first(happening_now(), [wish, *self._queue])
        else:
            return False
        return True

    def _may_be_now(self, alarm: Alarm | None) -> bool:
        """Whether to ask if it is happening now. Once for the same words: a caller who did not deny it is not here to say them again."""
        if alarm is None or not alarm.ask_now or (said := folded(self._heard.text)) in self._asked_about:
            return False
        self._asked_about.add(said)
        return True

    def _key_answer(self, event: Pressed) -> None:
        self._quiet = 0
        if event.key == "*" and self._question is not None:
            self._ask(self._question)
        elif self._keys_a_number:
            self._gather(event.key)
        else:
            self._advance(Answer("", event.key))

    @property
    def _keys_a_number(self) -> bool:
        """Whether keys are the digits of a number that was asked for."""
        return self.state is State.ASKING and self._question is not None and self._question.kind == "number"

    def _gather(self, key: str) -> None:
        """Take digits until the number is whole, the hash key, or a pause."""
        if not self._keyed:
            self._out.append(Listen("keys"))
        self._keyed += key.strip("#")
        if key == "#" or whole_number(self._keyed):
            self._keys_over()

    def _keys_over(self) -> None:
        """Take the digits for the answer; a 0 by itself is a person, as it is everywhere."""
        keys, self._keyed = self._keyed, ""
        if keys == "0":
            self._person("the caller pressed 0")
        else:
            self._advance(Answer("", keys))

    def _wait(self) -> None:
        self._quiet = 0
        self.state = State.WORKING

    def _spoke_over(self, heard: Heard) -> None:
        """Words while something is being looked up: kept, and taken as the next open turn if nothing was asked meanwhile."""
        if heard.final:
            self._spoken_over = f"{self._spoken_over} {heard.text}".strip()

    def _done(self, event: Done) -> None:
        if self._waiting is None or event.id != self._waiting[0]:
            return
        request = self._waiting[1]
        self._waiting = None
        if isinstance(request, Understand):
            self._understood(event.result)
        else:
            self._note(
                "tool.called", operation=type(request).__name__, ok=True, problem="" if event.result not in (None, []) else "nothing"
            )
            self._advance(event.result)
        if self.state is State.OPEN and self._spoken_over:
            said, self._spoken_over = self._spoken_over, ""
            self._open_turn(Heard(said, confidence=self._heard.confidence))
        self._spoken_over = ""

    # Silence, noise, faults

    def _silent(self, event: Silence) -> None:
        if event.seconds < SILENCE:
            return
        if self._keyed:
            self._keys_over()
            return
        self._quiet += 1
        self._note("turn.decided", because=f"silence, {self._quiet}")
        if self._closing and self.state is State.OPEN:
            self._goodbye()
        elif self._quiet > 1:
            self._person("the caller is silent", prompt="quiet.person")
        elif not self._talked:
            self._say("urgent.cannot_talk")
            self._ask(Ask("quiet.again", {}, "open"), State.OPEN)
        else:
            self._say("quiet.again")
            self._ask(self._question or Ask("turn.open", {}, "open"), self.state)

    def _noisy(self, event: Noise) -> None:
        self._noises += 1
        self._note("turn.decided", because=f"noise, {self._noises}")
        if self._noises > 1:
            self._person("the line is noisy", prompt="noise.person")
        elif self.state is State.ASKING and self._question is not None:
            self._ask(self._question)
        else:
            self._ask(Ask("noise.keys", {}, "open"), State.OPEN)

    def _stuck(self, event: Silence) -> None:
        self._quiet += 1
        if self._quiet >= _PATIENCE and self._waiting is not None:
            part: Part = "understanding" if isinstance(self._waiting[1], Understand) else "diary"
            self._failed(Fault(part, self._waiting[0]))

    def _failed(self, event: Fault) -> None:
        waiting = self._waiting
        self._note("tool.called", operation=type(waiting[1]).__name__ if waiting else event.part, ok=False, problem=f"{event.part} failed")
        if event.id is not None and (waiting is None or event.id != waiting[0]):
            return  # an alert or a call given up: it is in the log
        if waiting is not None and isinstance(waiting[1], Confirm):
            self._done(Done(waiting[0], None))  # a text message that was not sent undoes no booking
        elif event.part == "understanding":
            self._without_model()
        elif event.part == "voice":
            self._drop_script()
            self._hand_over("speech synthesis has failed", "reception")
        else:
            self._person(f"{event.part} has failed", prompt="fault.person")

    def _without_model(self) -> None:
        """Go on with the words of the menu, and say so where they do not help."""
        self._waiting, self._model_failed = None, True
        understanding = understand_by_words(self._heard.text)
        if understanding.intents:
            self._understood(understanding)
        else:
            self._ask(Ask("fault.no_model", {}, "open"), State.OPEN)


_SELF_SERVICE = 5
"""Rank from which the line itself can do something; below it a person takes over, and hears what else is wanted."""
_PEOPLE = range(2, _SELF_SERVICE)


def _for_a_person(chosen: Sequence[Wish]) -> bool:
    """Whether a person takes over at once in any case: then nothing is lost by having misheard."""
    return bool(chosen) and path_of(chosen[0].intent).rank in _PEOPLE


_TALKING = (State.OPEN, State.ASKING, State.WORKING, State.EMERGENCY)

_TABLE: Mapping[State, Mapping[type, Callable[..., None]]] = {
    State.NEW: {Connected: Call._greet},
    State.OPEN: {Heard: Call._open_turn, Pressed: Call._menu_key, Silence: Call._silent, Noise: Call._noisy, Fault: Call._failed},
    State.ASKING: {Heard: Call._answered, Pressed: Call._key_answer, Silence: Call._silent, Noise: Call._noisy, Fault: Call._failed},
    State.WORKING: {Heard: Call._spoke_over, Done: Call._done, Silence: Call._stuck, Fault: Call._failed},
    State.EMERGENCY: {
        Heard: Call._emergency_turn,
        Pressed: Call._emergency_turn,
        Noise: Call._emergency_turn,
        Silence: Call._emergency_silence,
        Fault: Call._emergency_fault,
        Transferred: Call._taken,
    },
    State.HANDING_OVER: {Transferred: Call._taken, TransferFailed: Call._next_target},
    State.MESSAGE: {Fault: Call._message_fault},
    State.ENDED: {},
}
