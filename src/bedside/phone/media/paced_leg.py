"""What the legs of all transports have in common: a queue to play, events to tell, a longest time, a recording."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from uuid import uuid4

from bedside.phone.leg import FRAME_BYTES, FRAME_MS, Audio, CallLeg, Digit, Ending, HungUp, LegEvent, Played
from bedside.phone.media.recording import Recording

LAST_CALL_S = 60
"""A call that nears its cap is told so many seconds before."""

_MOST_EVENTS = 1500
"""Events that may wait to be read, 30 s of audio; a reader further behind loses audio, which is counted."""
_TICKS_A_SECOND = 1000 // FRAME_MS


@dataclass
class _Playback:
    name: str
    pcm: bytes
    at: int = 0

    @property
    def ms(self) -> int:
        """How much of it has been sent."""
        return self.at * FRAME_MS // FRAME_BYTES


class PacedLeg(ABC):
    """A `CallLeg` driven by the pacer. A transport says how a frame comes in, how one goes out and how the call ends.

    Args:
        far_id: what the far end calls this call. Anybody may choose it, twice or with a path in it: it goes into no file name.

    Attributes:
        id: our own name of the call, unique.
        counts: what was dropped, refused or mended on this leg, by reason.
        ended: the call is over.
    """

    def __init__(self, far_id: str, caller: str, called: str, longest_s: int) -> None:
        self.id = uuid4().hex
        self.far_id = far_id
        self.caller = caller
        self.called = called
        self.counts: Counter[str] = Counter()
        self.ended = False
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._queue: deque[_Playback] = deque()
        self._recording: Recording | None = None
        self._ticks = 0
        self._longest = longest_s * _TICKS_A_SECOND
        self._last_call = max(longest_s - LAST_CALL_S, longest_s // 2) * _TICKS_A_SECOND

    async def events(self) -> AsyncIterator[LegEvent]:
        """What happens on the leg, in order, until `HungUp`. One reader only."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, HungUp):
                return

    def play(self, pcm: bytes, name: str = "") -> None:
        """Queue audio for the caller; `Played(name)` comes when its last frame has left. An ended call plays nothing."""
        if self.ended:
            self._emit(Played(name, 0, complete=False))
        elif pcm:
            self._queue.append(_Playback(name, pcm))
        else:
            self._emit(Played(name, 0, complete=True))

    def clear(self) -> None:
        """Stop what is playing and forget what is queued; each of them is told as `Played`, not complete."""
        for playback in self._queue:
            self._emit(Played(playback.name, playback.ms, complete=False))
        self._queue.clear()
        self._stop_far_end()

    def record(self, recording: Recording | None) -> None:
        """Write both sides to `recording` from now on; None closes the one that runs."""
        if self._recording is not None and self._recording is not recording:
            self._recording.close()
        self._recording = recording

    async def hang_up(self) -> None:
        """End the call. Ending an ended call does nothing."""
        self.end("the line hung up", far_end=False)

    @abstractmethod
    async def transfer(self, target: str) -> bool:
        """Hand the caller to another number or extension; whether the other side took it."""

    async def consult(self, target: str) -> CallLeg | None:
        """Call a human on the caller's behalf; None, for a transport that only takes calls has no way."""
        return None

    def end(self, reason: str, far_end: bool) -> None:
        """End the call here, and at the far end too unless it was the far end that ended it."""
        if self.ended:
            return
        self.ended = True
        self.clear()
        self.record(None)
        self._close(far_end)
        self._emit(HungUp(reason))

    def fail(self, error: Exception) -> None:
        """The pacer found this leg broken."""
        self.end(f"the line failed ({type(error).__name__}: {error})", far_end=False)

    def tick(self) -> None:
        """Do the work of 20 ms: take what came from the caller, send what is to be played."""
        if self.ended:
            return
        heard = tuple(self._receive())
        for audio in heard:
            self._emit(audio)
        if self.ended:
            return
        said, finished = self._next_frame()
        self._send(said)
        for playback in finished:
            self._finish(playback.name, playback.ms)
        if self._recording is not None:
            self._recording.write(b"".join(audio.pcm for audio in heard if not audio.lost), said or b"")
        self._keep_time()

    @abstractmethod
    def _receive(self) -> Iterable[Audio]:
        """The frames that came since the last tick; keys are told through `_press`."""

    @abstractmethod
    def _send(self, pcm: bytes | None) -> None:
        """Send one frame, or None where nothing is playing."""

    @abstractmethod
    def _close(self, far_end: bool) -> None:
        """Free what the leg holds; tell the far end, unless `far_end` says that it ended the call."""

    def _stop_far_end(self) -> None:  # noqa: B027 - a far end that buffers no audio needs nothing
        """Make the far end forget audio that it has received and not yet played."""

    def _finish(self, name: str, ms: int) -> None:
        """The last frame of a playback was sent."""
        self._emit(Played(name, ms, complete=True))

    def _press(self, key: str) -> None:
        self._emit(Digit(key))

    def _emit(self, event: LegEvent) -> None:
        if isinstance(event, Audio) and self._events.qsize() >= _MOST_EVENTS:
            self.counts["audio that nobody read"] += 1
        else:
            self._events.put_nowait(event)

    def _next_frame(self) -> tuple[bytes | None, list[_Playback]]:
        """The next frame to be played, and the playbacks that end with it; one's end and the next one's start share a frame."""
        finished: list[_Playback] = []
        frame = b""
        while self._queue and len(frame) < FRAME_BYTES:
            playback = self._queue[0]
            piece = playback.pcm[playback.at : playback.at + FRAME_BYTES - len(frame)]
            playback.at += len(piece)
            frame += piece
            if playback.at >= len(playback.pcm):
                finished.append(self._queue.popleft())
        return frame.ljust(FRAME_BYTES, b"\0") if frame else None, finished

    def _keep_time(self) -> None:
        self._ticks += 1
        if self._ticks == self._last_call:
            self._emit(Ending((self._longest - self._ticks) // _TICKS_A_SECOND))
        elif self._ticks >= self._longest:
            self.end(f"longer than the longest call ({self._longest // _TICKS_A_SECOND} s)", far_end=False)
