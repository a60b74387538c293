"""Recordings: both sides in step, nothing without consent, a bad disk ends the recording only."""

from __future__ import annotations

import wave
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bedside.phone.leg import FRAME_BYTES, FRAME_SAMPLES
from bedside.phone.media.recording import Consent, Recording

CONSENT = Consent(datetime(2026, 11, 22, 9, 0, tzinfo=UTC), "stayed on the line after the notice")
HEARD, SAID = (np.full(FRAME_SAMPLES, level, dtype="<i2").tobytes() for level in (111, 222))


def sides(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def test_the_caller_is_left_the_line_right_and_a_burst_is_laid_out(tmp_path: Path) -> None:
    path = tmp_path / "calls" / "one.wav"
    with Recording(path, CONSENT) as recording:
        assert not path.exists()
        recording.write(HEARD, SAID)
        recording.write(b"", SAID)
        recording.write(2 * HEARD, b"")
        recording.write(b"", b"")
    caller, line = sides(path)
    frames = slice(None, None, FRAME_SAMPLES)
    assert caller[frames].tolist() == [111, 0, 111, 111]
    assert line[frames].tolist() == [222, 222, 0, 0]
    assert list(path.parent.iterdir()) == [path]


def test_consent_taken_back_leaves_nothing(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "one.wav", CONSENT)
    for _ in range(1000):
        recording.write(HEARD, SAID)
    recording.discard()
    recording.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / ".one.wav.partial").symlink_to("/dev/full")
    recording = Recording(tmp_path / "one.wav", CONSENT)
    for _ in range(1000):
        recording.write(HEARD, bytes(FRAME_BYTES))
    recording.close()
    assert recording.failed == "one.wav cannot be recorded (No space left on device)"


def test_a_folder_that_cannot_be_made_is_told_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "calls").write_text("a file")
    recording = Recording(tmp_path / "calls" / "one.wav", CONSENT)
    recording.write(HEARD, SAID)
    recording.close()
    assert recording.failed is not None and recording.failed.startswith("one.wav cannot be recorded")
