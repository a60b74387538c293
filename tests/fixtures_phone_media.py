"""Fixtures for calls: the shared voice detector, spoken sentences, and the programs that place real calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from bedside.errors import BaseModelError
from bedside.phone.leg import RATE
from bedside.phone.media.vad import SILERO, VoiceActivity
from bedside.workspace.fetch import cached_asset

_CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bedside"


def skip_or_fail(reason: str) -> None:
    """Skip this test, or fail it under CI, where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """The path of a program; the test is skipped with the line that installs it."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(f"no {name}: sudo apt-get install {package}")
    return str(found)


@pytest.fixture(scope="session")
def voice() -> VoiceActivity:
    """Silero with the fetched weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEDSIDE_CACHE", os.environ.get("BEDSIDE_CACHE", str(_CACHE)))
        try:
            return VoiceActivity(cached_asset(SILERO))
        except BaseModelError as error:
            skip_or_fail(str(error))
            raise


@pytest.fixture(scope="session")
def speech() -> Callable[[str], bytes]:
    """A sentence as 8 kHz samples, by espeak-ng."""
    espeak = program("espeak-ng", "espeak-ng")
    spoken: dict[str, bytes] = {}

    def say(text: str) -> bytes:
        if text not in spoken:
            wav = subprocess.run([espeak, "-v", "en-gb", "--stdout", text], capture_output=True, check=True).stdout
            samples = soxr.resample(np.frombuffer(wav[44:], dtype="<i2"), 22_050, RATE)
            spoken[text] = np.asarray(samples, dtype="<i2").tobytes()
        return spoken[text]

    return say
