"""What a telephone does to a voice: band, level, background noise, companding; and other voices made of one by speed.

Every function is for tests and for simulated callers; nothing here touches a real call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bedside.phone.leg import FRAME_SAMPLES, RATE
from bedside.phone.media.g711 import A_LAW

Samples = NDArray[np.float64]

LEVEL_DB = -26.0
"""Of active speech, in dB of full scale: the nominal level of ITU-T P.56 and G.191."""
_FULL_SCALE = 32768.0
_BAND = (300.0, 3400.0)
"""Hz that a telephone passes (ITU-T G.712), with edges 150 Hz wide."""
_EDGE = 150.0
_ACTIVE_DB = 25.0
"""Frames no further than this below the loudest are active speech (much simplified after ITU-T P.56)."""
_LEAST = 1e-9
_SPEECH_CORNER, _SPEECH_SLOPE = 500.0, -9.0
"""Long-term spectrum of speech: level up to this frequency, and falling by so many dB an octave above (after Byrne et al. 1994)."""

Colour = Literal["speech", "white"]


@dataclass(frozen=True)
class Channel:
    """A telephone line.

    Attributes:
        noise_db: level of active speech over that of the noise, in dB; None: a quiet line.
        colour: noise with the spectrum of many voices, or white.
        seed: equal seeds give equal noise.
    """

    noise_db: float | None = None
    colour: Colour = "speech"
    seed: int = 0

    def carry(self, pcm: bytes) -> bytes:
        """A whole utterance as it arrives: banded, levelled, with noise, and through A-law. 8 kHz, 16 bits both ways."""
        return A_LAW.decode(A_LAW.encode(mixed(levelled(pcm), self.noise(len(pcm) // 2))))

    def noise(self, samples: int) -> Samples:
        """So many samples of background, in units of full scale; silence on a quiet line."""
        if self.noise_db is None or not samples:
            return np.zeros(samples)
        white = np.random.default_rng(self.seed).standard_normal(samples)
        noise = _shaped(white, _speech_gain) if self.colour == "speech" else white
        noise = _shaped(noise, _band_gain)
        wanted = 10 ** ((LEVEL_DB - self.noise_db) / 20)
        return np.asarray(noise * (wanted / max(np.sqrt(np.mean(noise**2)), _LEAST)))


def levelled(pcm: bytes) -> Samples:
    """Speech in the telephone's band at the nominal level, in units of full scale; silence stays silence."""
    samples = _shaped(np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2") / _FULL_SCALE, _band_gain)
    level = _active_rms(samples)
    return samples * (10 ** (LEVEL_DB / 20) / level) if level else samples


def mixed(speech: Samples, noise: Samples) -> bytes:
    """Both as 16-bit samples; what is too loud is clipped, as it would be."""
    return (np.clip(speech + noise, -1, 1) * (_FULL_SCALE - 1)).astype("<i2").tobytes()


def warped(pcm: bytes, factor: float) -> bytes:
    """The same words by another speaker: faster and higher by `factor`, as by a shorter vocal tract (Ko et al. 2015, speed perturbation).

    Args:
        factor: 0.9 to 1.1 leaves a voice natural.
    """
    import soxr

    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")
    return np.asarray(soxr.resample(samples, RATE * factor, RATE), dtype="<i2").tobytes()


def _shaped(samples: Samples, gain: Callable[[Samples], Samples]) -> Samples:
    if not len(samples):
        return samples
    spectrum = np.fft.rfft(samples)
    frequencies = np.asarray(np.fft.rfftfreq(len(samples), 1 / RATE), dtype=np.float64)
    return np.asarray(np.fft.irfft(spectrum * gain(frequencies), len(samples)), dtype=np.float64)


def _band_gain(frequencies: Samples) -> Samples:
    low, high = _BAND
    rising = np.clip((frequencies - low + _EDGE) / _EDGE, 0, 1)
    falling = np.clip((high + _EDGE - frequencies) / _EDGE, 0, 1)
    return np.asarray(rising * falling)


def _speech_gain(frequencies: Samples) -> Samples:
    octaves = np.log2(np.maximum(frequencies, _SPEECH_CORNER) / _SPEECH_CORNER)
    return np.asarray(10 ** (_SPEECH_SLOPE * octaves / 20))


def _active_rms(samples: Samples) -> float:
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    energies = np.mean(samples[:whole].reshape(-1, FRAME_SAMPLES) ** 2, axis=1)
    if not len(energies) or not energies.max():
        return 0.0
    active = energies[energies >= energies.max() * 10 ** (-_ACTIVE_DB / 10)]
    return float(np.sqrt(active.mean()))
