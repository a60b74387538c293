"""WAV files as callers: every rate of telephony, and files that are none."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import BedsideError
from bedside.phone.leg import RATE
from bedside.phone.transports.wav import read_wav


def wav(rate: int, seconds: float = 1.0, channels: int = 1, width: int = 2) -> bytes:
    tone = (8000 * np.sin(np.arange(int(rate * seconds)) * 2 * np.pi * 440 / rate)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, width, rate, 0, "NONE", ""))
        out.writeframes(tone.tobytes() if width == 2 else bytes(len(tone) * channels * width))
    return file.getvalue()


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 24_000, 48_000])
def test_a_tone_keeps_its_pitch_and_length_whatever_the_rate(tmp_path: Path, rate: int) -> None:
    file = tmp_path / "tone.wav"
    file.write_bytes(wav(rate))
    samples = np.frombuffer(read_wav(file), dtype="<i2").astype(float)
    assert len(samples) == pytest.approx(RATE, abs=4)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("rate", "channels", "width"), [(7000, 1, 2), (96_000, 1, 2), (8000, 2, 2), (8000, 1, 1)])
def test_another_form_is_named_with_the_command_that_converts_it(tmp_path: Path, rate: int, channels: int, width: int) -> None:
    file = tmp_path / "other.wav"
    file.write_bytes(wav(rate, channels=channels, width=width))
    with pytest.raises(BedsideError, match=f"{rate} Hz, {channels} channels and {8 * width} bits.*sox"):
        read_wav(file)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    file.write_bytes(wav(16_000, 3))
    with pytest.raises(BedsideError, match="longer than 2 s"):
        read_wav(file, longest_s=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 60), junk=st.binary(max_size=80))
def test_a_broken_file_is_read_or_refused_and_nothing_else(tmp_path: Path, cut: int, junk: bytes) -> None:
    file = tmp_path / "broken.wav"
    file.write_bytes(wav(16_000, 0.1)[:cut] + junk)
    try:
        assert len(read_wav(file)) % 2 == 0
    except BedsideError as error:
        assert "broken.wav" in str(error)
