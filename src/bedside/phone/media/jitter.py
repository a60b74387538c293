"""From packets that come early, late, twice or never to one frame every 20 ms."""

from __future__ import annotations

import numpy as np

from bedside.phone.leg import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE

_HALF = 1 << 31
_JUMP = 5 * RATE
"""A timestamp further than this from the expected one starts a new stream."""
_MOST_PACKETS = 100
_DRY_FRAMES = 10
"""After so many frames with nothing buffered the sender is taken to pause, and its next packets are buffered afresh."""
_DEEP_FRAMES = 100
"""After so many frames of a needlessly deep buffer one frame is left out."""


class JitterBuffer:
    """Puts packets in order by timestamp and gives 20 ms a time, as late as the line needs and no later.

    The delay starts at `least_ms`; each late packet deepens it by a frame up to `most_ms`, and a buffer that stays deeper than that gives
    a frame up every two seconds.

    Attributes:
        late, duplicate, refused: packets not played because they came after their time, twice, or into a full buffer.
        gaps: frames asked for whose packet had not come.
        skipped: frames left out to shorten the delay.
        restarts: new streams: a jump of the timestamp.
    """

    def __init__(self, least_ms: int = 40, most_ms: int = 200) -> None:
        self.late = self.duplicate = self.refused = self.gaps = self.skipped = self.restarts = 0
        self._least = least_ms // FRAME_MS
        self._most = most_ms // FRAME_MS
        self._depth = self._least
        self.reset()

    def reset(self) -> None:
        """Forget the stream: another one begins."""
        self._packets: dict[int, bytes] = {}
        self._reference: int | None = None
        self._head: int | None = None
        self._owed = self._dry = self._deep = 0

    def put(self, timestamp: int, pcm: bytes) -> None:
        """Take one packet.

        Args:
            timestamp: of its first sample, modulo 2³².
            pcm: its samples, 16 bits each; of any length.
        """
        if len(pcm) < 2:
            return
        start = self._unwrapped(timestamp)
        if self._head is not None and start + len(pcm) // 2 <= self._head:
            self.late += 1
            if self._depth < self._most:
                self._depth += 1
                self._owed += 1
        elif start in self._packets:
            self.duplicate += 1
        elif len(self._packets) >= _MOST_PACKETS:
            self.refused += 1
        else:
            self._packets[start] = pcm[: len(pcm) & ~1]

    def pop(self) -> bytes | None:
        """The next 20 ms, or None where they have not come."""
        if self._head is None and not self._begin():
            return None
        if self._owed:
            self._owed -= 1
            return None
        self._shorten()
        frame = self._assemble()
        if frame is None:
            self.gaps += 1
            self._dry = 0 if self._packets else self._dry + 1
            if self._dry >= _DRY_FRAMES:
                self._head = None
        else:
            self._dry = 0
        return frame

    def _unwrapped(self, timestamp: int) -> int:
        """The timestamp as a sample number that never wraps; a jump starts the stream anew."""
        if self._reference is None:
            self._reference = timestamp
        delta = ((timestamp - self._reference + _HALF) & 0xFFFFFFFF) - _HALF
        start = self._reference + delta
        expected = self._head if self._head is not None else self._reference
        if abs(start - expected) > _JUMP:
            self.restarts += 1
            self.reset()
            self._reference = start = timestamp
        self._reference = max(self._reference, start)
        return start

    def _buffered(self) -> int:
        """Frames between the next to be played, or the earliest, and the end of the latest packet."""
        last = max(self._packets)
        first = self._head if self._head is not None else min(self._packets)
        return (last + len(self._packets[last]) // 2 - first) // FRAME_SAMPLES

    def _begin(self) -> bool:
        if not self._packets or self._buffered() < self._depth:
            return False
        self._head = min(self._packets)
        self._owed = self._dry = self._deep = 0
        return True

    def _shorten(self) -> None:
        self._deep = self._deep + 1 if self._packets and self._buffered() > self._depth + 2 else 0
        if self._deep >= _DEEP_FRAMES:
            self._assemble()
            self.skipped += 1
            self._deep = 0
            self._depth = max(self._least, self._depth - 1)

    def _assemble(self) -> bytes | None:
        """Take the frame at the head from packets of whatever length and move on; samples that never came are silence."""
        assert self._head is not None
        start, end = self._head, self._head + FRAME_SAMPLES
        self._head = end
        whole = self._packets.get(start)
        if whole is not None and len(whole) == FRAME_BYTES:
            return self._packets.pop(start)
        frame, filled = bytearray(FRAME_BYTES), False
        for at in sorted(at for at in self._packets if at < end):
            pcm = self._packets.pop(at)
            if at + len(pcm) // 2 > end:
                self._packets[end] = pcm[2 * (end - at) :]
            piece = pcm[2 * max(start - at, 0) : 2 * (end - at)]
            if piece:
                offset = 2 * max(at - start, 0)
                frame[offset : offset + len(piece)] = piece
                filled = True
        return bytes(frame) if filled else None


class Concealer:
    """Stands in for frames that never came: the last one again, fading to silence over 60 ms (after G.711 appendix I, much simplified)."""

    _FADE = (0.75, 0.5, 0.25)

    def __init__(self) -> None:
        self._last = bytes(FRAME_BYTES)
        self._missed = 0

    def heard(self, frame: bytes) -> bytes:
        """Remember a frame that came."""
        self._last, self._missed = frame, 0
        return frame

    def missed(self) -> bytes:
        """A frame in place of one that did not come."""
        self._missed += 1
        if self._missed > len(self._FADE):
            return bytes(FRAME_BYTES)
        samples = np.frombuffer(self._last, dtype="<i2")
        return (samples * self._FADE[self._missed - 1]).astype("<i2").tobytes()
