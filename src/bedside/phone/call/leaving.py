"""Every way out of a call: an emergency, a person, a message, goodbye.

Whatever happens to a call ends here, so that none is dropped: a transfer that nobody takes goes to the next target, and then to a message.
"""

from __future__ import annotations

from bedside.knowledge.dispositions import disposition
from bedside.phone.call.actions import Leave
from bedside.phone.call.events import (
    Fault,
    HangUp,
    Heard,
    Hush,
    Listen,
    Noise,
    Pressed,
    Silence,
    Transfer,
    TransferFailed,
    Transferred,
    Voicemail,
)
from bedside.phone.call.handover import summary, targets
from bedside.phone.call.line import Line, State
from bedside.phone.call.watch import Alarm, first_aid


class Leaving(Line):
    """A call on its way out."""

    # Emergencies

    def _emergency(self, alarm: Alarm) -> bool:
        """Say the approved text of an emergency at once; False where no more is known than was already acted on."""
        was, rules = self.disposition, self.rules
        self._raise(alarm)
        known = self.state is State.EMERGENCY or (self.state in (State.HANDING_OVER, State.MESSAGE) and disposition(was).emergency)
        if known and self.disposition == was:
            if self.rules != rules:
                self._act(Leave("emergency", None, {}, "emergency", self.rules), "diary")
            return False
        self._enter_emergency(first_aid(alarm))
        return True

    def _enter_emergency(self, aid: list[str]) -> None:
        self._drop_script()
        place = disposition(self.disposition)
        self._note("turn.decided", rules=self.rules, after=place.id, because=f"emergency while {self.state.name}")
        self._out.append(Hush())
        for text in (place.says, *aid):
            self._say(text)
        person = self.setting.person
        self._act(Leave("emergency", person.id if person else None, {"disposition": place.id}, "emergency", self.rules), "diary")
        self._quiet = 0
        if place.id == "E_CRISIS":
            self._hand_over(self._emergency_reason(), "nurse")
        else:
            self.state = State.EMERGENCY
            self._out.append(Listen())

    def _emergency_turn(self, event: Heard | Pressed | Noise) -> None:
        """The caller is still there: whatever they say, they get a person."""
        if isinstance(event, Heard) and (not event.final or self._same_utterance):
            self._same_utterance = self._same_utterance and not event.final
            return
        self._say("emergency.person")
        self._hand_over(self._emergency_reason(), "nurse")

    def _emergency_silence(self, event: Silence) -> None:
        self._quiet += 1
        if self._quiet == 1:
            self._say(disposition(self.disposition).says)
            self._out.append(Listen())
        else:
            self._say("emergency.person")
            self._hand_over(f"{self._emergency_reason()}, the caller is silent", "nurse")

    def _emergency_reason(self) -> str:
        return f"emergency {self.disposition}"

    def _emergency_fault(self, event: Fault) -> None:
        """An alert that could not be left is in the log; a line that hears or speaks no more gives the caller to a person."""
        if event.id is None:
            self._hand_over(f"{self._emergency_reason()}, {event.part} has failed", "nurse")

    # People and the end

    def _person(self, reason: str, to: str = "reception", prompt: str = "call.handoff") -> None:
        """Hand the call to a person, or take a message where nobody takes calls now."""
        if self.state is State.EMERGENCY:
            reason, to, prompt = self._emergency_reason(), "nurse", "emergency.person"
        self._drop_script()
        if targets(self.setting, to):
            self._say(prompt)
        self._hand_over(reason, to)

    def _hand_over(self, reason: str, to: str) -> None:
        self._reason = reason
        self._to = targets(self.setting, to)
        self._note("handoff.started", to=to if self._to else "message", reason=reason, disposition=self.disposition)
        if not self._to:
            self._say("call.nobody_answers" if self._urgent else "closed.message")
        self._next_target()

    def _next_target(self, event: TransferFailed | None = None) -> None:
        if self._to:
            target, *self._to = self._to
            self.state = State.HANDING_OVER
            self._out.append(Transfer(target, summary(self.setting, self._reason, self._queue, self.rules, self.evidence)))
            return
        if event is not None:
            self._say("call.nobody_answers")
            if self.disposition == "NURSE_NOW":
                self._say(disposition("ED_NOW").says)
            elif self.disposition == "E_CRISIS":
                self._say("urgent.helpline", line="lifeline")
        self._say("message.leave")
        self.state = State.MESSAGE
        whisper = summary(self.setting, self._reason, self._queue, self.rules, self.evidence, to_machine=True)
        self._out.append(Voicemail(whisper, urgent=self._urgent))

    @property
    def _urgent(self) -> bool:
        return disposition(self.disposition).level >= disposition("NURSE_NOW").level

    def _goodbye(self) -> None:
        self._say("close.goodbye")
        self._hang_up("done")

    def _hang_up(self, how: str) -> None:
        self._out.append(HangUp())
        self._end(how)

    def _taken(self, event: Transferred) -> None:
        self._end("a person took the call")

    def _end(self, how: str) -> None:
        self._drop_script()
        left = [wish.intent for wish in self._queue]
        self._note("call.ended", reason=how, turns=self._turns, disposition=self.disposition, open=left)
        self.state = State.ENDED

    def _message_fault(self, event: Fault) -> None:
        """No message can be taken: the last word is where help is."""
        self._goodbye()
