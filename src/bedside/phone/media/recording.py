"""Calls as WAV files: the caller left, the line right, and nothing before consent."""

from __future__ import annotations

import logging
import struct
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from bedside.phone.leg import FRAME_BYTES, RATE

log = logging.getLogger(__name__)

_BUFFER = 1 << 16


@dataclass(frozen=True)
class Consent:
    """Why this call may be recorded.

    Attributes:
        given_at: when, with its time zone.
        how: in words, such as "stayed on the line after the notice".
    """

    given_at: datetime
    how: str


class Recording:
    """A stereo WAV of 8 kHz that grows as the call goes on; it gets its name when it is closed.

    A disk that fails ends the recording, never the call: `failed` says why.
    """

    def __init__(self, path: Path, consent: Consent) -> None:
        self.path = path
        self.consent = consent
        self.failed: str | None = None
        self._partial = path.with_name(f".{path.name}.partial")
        self._waiting = bytearray()
        self._pcm = bytearray()
        self._written = 0
        self._file: BinaryIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self._partial.open("wb", buffering=0)
        except OSError as error:
            self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, heard: bytes, said: bytes) -> None:
        """Add one frame: what the line said in these 20 ms, and what came from the caller, which may be more or less than a frame.

        What comes in a burst is laid out over the next frames, so that both sides stay in step.
        """
        self._waiting += heard
        caller = bytes(self._waiting[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._waiting[:FRAME_BYTES]
        both = np.frombuffer(caller + said.ljust(FRAME_BYTES, b"\0"), dtype="<i2").reshape(2, -1)
        self._pcm += both.T.tobytes()
        if len(self._pcm) >= _BUFFER:
            self._flush()

    def close(self) -> None:
        """Finish the file under its name. Closing twice does nothing."""
        self._flush()
        if self._file is not None:
            self._file.close()
            self._file = None
            try:
                self._partial.replace(self.path)
            except OSError as error:
                self._fail(error)

    def discard(self) -> None:
        """Delete what was recorded: the caller took consent back."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._pcm.clear()
        self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Write what has gathered, and a header that counts it: the file is whole after each flush, should the process die."""
        if self._file is not None:
            try:
                self._file.seek(0)
                self._file.write(_header(self._written + len(self._pcm)))
                self._file.seek(0, 2)
                self._file.write(self._pcm)
                self._written += len(self._pcm)
            except OSError as error:
                self._fail(error)
        self._pcm.clear()

    def _fail(self, error: OSError) -> None:
        self.failed = f"{self.path.name} cannot be recorded ({error.strerror})"
        log.warning("%s", self.failed)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None


def _header(length: int) -> bytes:
    """The 44 bytes before `length` bytes of 16-bit stereo samples."""
    form = (1, 2, RATE, 4 * RATE, 4, 16)  # PCM, channels, samples a second, bytes a second, bytes a sample of both, bits
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + length, b"WAVE", b"fmt ", 16, *form, b"data", length)
