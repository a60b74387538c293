"""Audio that comes over TCP, in order but in bursts, as frames."""

from __future__ import annotations

from collections import Counter, deque

from bedside.phone.leg import FRAME_BYTES, Audio

_AHEAD_FRAMES = 250
"""A far end may be five seconds ahead of real time, after a stall; what comes faster is dropped and counted."""
_DRY_TICKS = 3
"""After so many ticks without audio silence stands in, so that the line's clocks go on."""
_SILENCE = Audio(bytes(FRAME_BYTES), lost=True)


class StreamInput:
    """Cuts a stream of samples into frames; gives all that came at each tick, late audio too."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._rest = b""
        self._frames: deque[Audio] = deque()
        self._dry = 0
        self._ahead = 0

    def feed(self, pcm: bytes) -> None:
        """Add 16-bit samples, of any number."""
        self._rest += pcm
        whole = len(self._rest) // FRAME_BYTES
        for at in range(0, whole * FRAME_BYTES, FRAME_BYTES):
            if self._ahead >= _AHEAD_FRAMES:
                self._counts["audio faster than real time"] += 1
            else:
                self._ahead += 1
                self._frames.append(Audio(self._rest[at : at + FRAME_BYTES]))
        self._rest = self._rest[whole * FRAME_BYTES :]

    def take(self) -> list[Audio]:
        """The frames of this tick."""
        self._ahead = max(self._ahead - 1, 0)
        if self._frames:
            self._dry = 0
            frames = list(self._frames)
            self._frames.clear()
            return frames
        self._dry += 1
        if self._dry <= _DRY_TICKS:
            return []
        self._counts["silence for audio that did not come"] += 1
        return [_SILENCE]
