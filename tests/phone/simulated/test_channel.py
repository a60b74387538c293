"""The simulated telephone line: what it does to speech is what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.leg import RATE
from bedside.phone.simulated.channel import LEVEL_DB, Channel, levelled, mixed, warped

SECOND = np.arange(RATE)


def tone(hertz: float, seconds: int = 1, loud: float = 8000) -> bytes:
    return (loud * np.sin(2 * np.pi * hertz * np.arange(seconds * RATE) / RATE)).astype("<i2").tobytes()


def level(pcm: bytes) -> float:
    samples = np.frombuffer(pcm, dtype="<i2") / 32768
    return 10 * np.log10(np.mean(samples**2) + 1e-12)


@pytest.mark.parametrize("hertz", [60, 3900])
def test_what_a_telephone_does_not_pass_is_gone(hertz: float) -> None:
    both = np.frombuffer(tone(1000), dtype="<i2") + np.frombuffer(tone(hertz), dtype="<i2")
    spectrum = np.abs(np.fft.rfft(np.frombuffer(Channel().carry(both.astype("<i2").tobytes()), dtype="<i2").astype(float)))
    assert spectrum[int(hertz)] < spectrum[1000] / 100


@given(loud=st.integers(200, 30_000))
def test_speech_comes_at_the_nominal_level_however_loud_it_was(loud: int) -> None:
    assert level(mixed(levelled(tone(800, loud=loud)), np.zeros(RATE))) == pytest.approx(LEVEL_DB, abs=0.5)


def test_pauses_do_not_count_towards_the_level_of_speech() -> None:
    said = tone(800) + bytes(2 * RATE * 3)
    assert level(mixed(levelled(said), np.zeros(4 * RATE))[: 2 * RATE]) == pytest.approx(LEVEL_DB, abs=0.5)


@pytest.mark.parametrize("colour", ["speech", "white"])
@pytest.mark.parametrize("noise_db", [5.0, 15.0, 30.0])
def test_noise_is_as_far_below_speech_as_was_asked(colour: str, noise_db: float) -> None:
    noise = Channel(noise_db, colour).noise(4 * RATE)  # type: ignore[arg-type]
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(LEVEL_DB - noise_db, abs=0.1)


def test_equal_seeds_give_equal_noise_and_others_do_not() -> None:
    said = tone(700)
    assert Channel(15, seed=1).carry(said) == Channel(15, seed=1).carry(said) != Channel(15, seed=2).carry(said)


def test_another_speaker_is_higher_and_faster() -> None:
    sound = np.frombuffer(warped(tone(1000, 2), 1.1), dtype="<i2").astype(float)
    assert len(sound) == pytest.approx(2 * RATE / 1.1, abs=4)
    assert np.argmax(np.abs(np.fft.rfft(sound))) * RATE / len(sound) == pytest.approx(1100, abs=3)


@settings(max_examples=50, deadline=None)
@given(pcm=st.binary(max_size=2000), noise_db=st.none() | st.floats(0, 40))
def test_any_audio_is_carried_at_its_length(pcm: bytes, noise_db: float | None) -> None:
    assert len(Channel(noise_db).carry(pcm)) == len(pcm) // 2 * 2
