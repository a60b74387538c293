"""What happens on a call, and what the line does about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bedside.phone.call.actions import Request

ListenKind = Literal["open", "yes_no", "choice", "name", "birth", "number", "keys", "day", "words"]
"""What an answer will be about, for end of turn and speech recognition: names and numbers are said with longer pauses, and `keys` follow
one another faster than that."""
Part = Literal["understanding", "diary", "hearing", "voice"]
"""A part that can fail in the middle of a call: the model, the practice's systems, speech recognition, speech synthesis."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The call is answered. `caller`: the number as signalled, "" where it is withheld."""

    caller: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """The caller said something.

    Attributes:
        text: as recognised.
        final: the turn is over; otherwise it is what was recognised so far.
        confidence: of the recogniser, 0 to 1, as a geometric mean of word probabilities; 1 for typed text.
        seconds: length of the speech.
    """

    text: str
    final: bool = True
    confidence: float = 1.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed a key: `0` to `9`, `*` or `#`."""

    key: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Neither side has said anything for so many seconds; told again after as long once more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Noise:
    """There was sound without words for so long that no turn could be made out."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A `Say` has been played: to its end, or stopped by the caller."""

    prompt: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """An `Act` has its result."""

    id: int
    result: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """A part has failed. `id` of the `Act` that failed with it, where there is one."""

    part: Part
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Transferred:
    """Somebody took the transferred call; it is theirs now."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """Nobody took it."""


@dataclass(frozen=True, slots=True)
class HungUp:
    """The caller is gone."""


Event = Connected | Heard | Pressed | Silence | Noise | Spoken | Done | Fault | Transferred | TransferFailed | HungUp


@dataclass(frozen=True, slots=True)
class Say:
    """Say an approved sentence.

    Attributes:
        prompt: its id.
        slots: what it was filled with; nothing else in it was made on the fly.
        text: the whole, for the voice.
        must_hear: the caller's voice does not stop it.
        personal: it tells something of a patient's record.
    """

    prompt: str
    slots: Mapping[str, str]
    text: str
    must_hear: bool = False
    personal: bool = False


@dataclass(frozen=True, slots=True)
class Hush:
    """Stop whatever is being said, also what must be heard: something more urgent follows."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Listen for the next turn."""

    kind: ListenKind = "open"


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Keep audio from now on: the notice was heard to its end and nobody objected."""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Keep no audio of this call any more."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to somebody.

    Attributes:
        to: number, extension or SIP address.
        summary: whispered to whoever answers, before they accept.
        warm: wait for a person to accept; otherwise hand over at once.
    """

    to: str
    summary: str
    warm: bool = True


@dataclass(frozen=True, slots=True)
class Voicemail:
    """Take a message from the caller, and end the call when it has been left."""

    summary: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Act:
    """Carry out a request and tell its result as `Done(id, …)`, or `Fault(part, id)`."""

    id: int
    request: Request
    part: Part


@dataclass(frozen=True, slots=True)
class Note:
    """For the audit log: why the line did what it did. Holds ids, scores and the words that fired a rule; no other words of the caller."""

    event: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Action = Say | Hush | Listen | StartRecording | StopRecording | Transfer | Voicemail | HangUp | Act | Note
