"""One side of a phone call, whatever it comes in by.

Audio inside bedside is 8,000 samples a second, 16-bit signed little-endian, one channel, in frames of 20 ms (320 bytes).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bedside.phone.media.recording import Recording

RATE = 8000
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000
FRAME_BYTES = 2 * FRAME_SAMPLES


@dataclass(frozen=True, slots=True)
class Audio:
    """One frame from the caller. `lost` says that it stands for a packet that never came."""

    pcm: bytes
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Digit:
    """A key the caller pressed: `0` to `9`, `*`, `#`, `A` to `D`."""

    key: str


@dataclass(frozen=True, slots=True)
class Played:
    """A playback has ended: `complete`, or stopped after `ms` milliseconds by `clear` or the caller hanging up."""

    name: str
    ms: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The call nears the longest time a call may take and is ended in `seconds`, unless it was handed on before."""

    seconds: int


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over; nothing comes after this."""

    reason: str


LegEvent = Audio | Digit | Played | Ending | HungUp


class CallLeg(Protocol):
    """What every transport gives a call."""

    id: str
    """Our own name of the call: unique, and safe in a file name."""
    far_id: str
    """What the far end calls it: neither unique nor safe."""
    caller: str
    """The calling number as signalled, or "" where it is withheld."""
    called: str

    def events(self) -> AsyncIterator[LegEvent]:
        """What happens on the leg, in order, until `HungUp`."""
        ...

    def play(self, pcm: bytes, name: str = "") -> None:
        """Queue audio for the caller; `Played(name)` comes when its last frame has left."""
        ...

    def clear(self) -> None:
        """Stop what is playing and forget what is queued."""
        ...

    def record(self, recording: Recording | None) -> None:
        """Write both sides to `recording` from now on; None closes the one that runs. Only after consent."""
        ...

    async def transfer(self, target: str) -> bool:
        """Hand the caller to another number or extension; whether the other side took it. Where it did not, the call goes on."""
        ...

    async def consult(self, target: str) -> CallLeg | None:
        """Call a human on the caller's behalf, who hears nothing of it yet; the leg to them, or None where nobody answers or there is no way."""
        ...

    async def hang_up(self) -> None:
        """End the call. Ending an ended call does nothing."""
        ...
