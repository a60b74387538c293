"""A caller made of WAV files: the same call as by telephone, for trials and tests."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bedside.errors import BedsideError
from bedside.phone.leg import FRAME_BYTES, FRAME_MS, RATE, Audio
from bedside.phone.media.paced_leg import PacedLeg

_ANSWER_TICKS = 600 // FRAME_MS
"""The caller begins so long after the line has fallen silent."""
_SILENCE = bytes(FRAME_BYTES)
_HIGHEST_RATE = 48_000


def read_wav(path: Path, longest_s: int = 600) -> bytes:
    """The samples of a WAV file at 8 kHz, 16 bits; a file of a higher rate is resampled.

    Raises:
        BedsideError: the file is missing, no WAV of one channel and 16 bits at 8 to 48 kHz, or longer than `longest_s`.
    """
    wanted = "Give one channel, 16 bits, 8 to 48 kHz: `sox FILE -r 8000 -c 1 -b 16 OUT.wav`"
    try:
        with wave.open(str(path)) as file:
            rate, channels, bits = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
            if not RATE <= rate <= _HIGHEST_RATE or (channels, bits) != (1, 16):
                raise BedsideError(f"{str(path)!r} has {rate} Hz, {channels} channels and {bits} bits", wanted)
            if file.getnframes() > longest_s * rate:
                raise BedsideError(f"{str(path)!r} is longer than {longest_s} s", "Give a shorter file")
            pcm: bytes = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error, RuntimeError) as error:  # the library's bare RuntimeError: a chunk longer than the file
        raise BedsideError(f"{str(path)!r} cannot be read as WAV ({error or 'it is cut off'})", wanted) from error
    return pcm if rate == RATE else _resampled(pcm, rate)


def _resampled(pcm: bytes, rate: int) -> bytes:
    import soxr

    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")
    return np.asarray(soxr.resample(samples, rate, RATE), dtype="<i2").tobytes()


class WavLeg(PacedLeg):
    """Says one piece of audio after the other, each when the line has spoken and fallen silent, and hangs up after the last answer.

    Args:
        pieces: 8 kHz, 16 bits each; a string of keys is pressed instead of said.
        patience_s: a line that stays silent for so long is answered, and after the last piece hung up on, too.
        ready: the caller begins at once, without waiting for a greeting.

    Attributes:
        said: all that the line played, with its pauses.
    """

    def __init__(self, pieces: Iterable[bytes | str], patience_s: float = 10, longest_s: int = 900, ready: bool = False) -> None:
        super().__init__("wav", "", "", longest_s)
        self.said = bytearray()
        self._pieces = list(pieces)
        self._patience = int(patience_s * 1000 / FRAME_MS)
        self._spoken_to = ready
        self._quiet = _ANSWER_TICKS if ready else 0
        self._saying = b""

    async def transfer(self, target: str) -> bool:
        """The call ends here: there is nobody to hand it to."""
        self.end(f"transferred to {target}", far_end=False)
        return True

    def _receive(self) -> Iterable[Audio]:
        if not self._saying and self._quiet >= (_ANSWER_TICKS if self._spoken_to else self._patience):
            self._next_piece()
        frame, self._saying = self._saying[:FRAME_BYTES].ljust(FRAME_BYTES, b"\0"), self._saying[FRAME_BYTES:]
        return (Audio(frame),)

    def _next_piece(self) -> None:
        self._spoken_to, self._quiet = False, 0
        if not self._pieces:
            self.end("the caller hung up", far_end=True)
            return
        piece = self._pieces.pop(0)
        if isinstance(piece, bytes):
            self._saying = piece
        else:
            for key in piece:
                self._press(key)

    def _send(self, pcm: bytes | None) -> None:
        self.said += pcm or _SILENCE
        self._spoken_to |= pcm is not None
        self._quiet = 0 if pcm is not None or self._saying else self._quiet + 1

    def _close(self, far_end: bool) -> None:
        self._pieces.clear()
