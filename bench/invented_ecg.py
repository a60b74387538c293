"""ECGs that were invented with known intervals: a reference for measurements that no annotator's habit is in.

P, T and the parts of QRS are halves of cosines with a first and a last sample, so that onset and end are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_P = np.array([0.08, 0.12, 0.05, 0.04, 0.06, 0.07, 0.08, 0.09])
_Q = np.array([-0.05, -0.08, 0.0, 0.0, 0.0, -0.05, -0.10, -0.10])
_R = np.array([0.7, 1.0, 0.25, 0.5, 0.8, 1.3, 1.4, 1.1])
_S = np.array([-0.1, -0.15, -0.9, -1.2, -0.9, -0.5, -0.3, -0.1])
_T = np.array([0.20, 0.30, -0.05, 0.45, 0.45, 0.40, 0.35, 0.25])
"""mV in I, II, V1 to V6; the others follow from I and II."""


@dataclass(frozen=True, slots=True)
class Heart:
    """What is measured.

    Attributes:
        rate: beats a minute.
        pr, qrs, qt: seconds; pr None: no P waves.
        irregular: share of the mean interval that intervals vary by.
        early: beats, by number, that come at 60 % of their interval.
        wide: those of the early ones that have another, wide shape.
    """

    rate: float = 70
    pr: float | None = 0.16
    qrs: float = 0.092
    qt: float = 0.39
    irregular: float = 0.02
    early: tuple[int, ...] = ()
    wide: bool = False


def drawn(rng: np.random.Generator) -> Heart:
    """A heart with intervals as they come."""
    rate = rng.uniform(45, 125)
    qt = 0.40 * np.cbrt(60 / rate) * rng.uniform(0.9, 1.2)
    return Heart(rate, rng.uniform(0.12, 0.21), rng.uniform(0.08, 0.15), qt, rng.uniform(0, 0.05))


def recorded(
    heart: Heart, rng: np.random.Generator, rate: int = 500, seconds: float = 10, noise: float = 0.01, drift: float = 0.1
) -> NDArray[np.float64]:
    """A 12-lead recording of it, mV, shape [12, n], in the order of `LEADS`.

    Args:
        noise: standard deviation of white noise, mV.
        drift: amplitude of a slow sine, mV.
    """
    times = np.arange(round(seconds * rate)) / rate
    eight = np.zeros((8, len(times)))
    shape = rng.uniform(0.8, 1.25, (5, 8)) * np.stack([_P, _Q, _R, _S, _T])
    onset, number = 0.3, 0
    while onset < seconds:
        wide = heart.wide and number in heart.early
        eight += _beat(times, onset, replace(heart, pr=None, qrs=0.16) if wide else heart, -shape[[0, 1, 3, 2, 4]] if wide else shape)
        number += 1
        gap = 60 / heart.rate * (1 + heart.irregular * rng.standard_normal())
        onset += gap * (0.6 if number in heart.early else 1.4 if number - 1 in heart.early else 1)
    eight += noise * rng.standard_normal(eight.shape) + drift * np.sin(2 * np.pi * 0.25 * times + rng.uniform(0, 6, (8, 1)))
    one, two = eight[:2]
    return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *eight[2:]])


def _beat(times: NDArray[np.float64], onset: float, heart: Heart, shape: NDArray[np.float64]) -> NDArray[np.float64]:
    p, q, r, s, t = shape[:, :, None]
    width = heart.qrs
    rise = min(0.12, max(0.04, heart.qt - 0.085 - width - 0.02))
    beat = q * _wave(times, onset + 0.2 * width, 0.2 * width, 0.2 * width) + r * _wave(times, onset + 0.5 * width, 0.3 * width, 0.3 * width)
    beat = beat + s * _wave(times, onset + 0.8 * width, 0.2 * width, 0.2 * width) + t * _wave(times, onset + heart.qt - 0.085, rise, 0.085)
    return beat if heart.pr is None else beat + p * _wave(times, onset - heart.pr + 0.05, 0.05, 0.05)


def _wave(times: NDArray[np.float64], top: float, before: float, after: float) -> NDArray[np.float64]:
    place = np.where(times < top, (times - top) / before, (times - top) / after)
    wave: NDArray[np.float64] = np.where(np.abs(place) < 1, 0.5 * (1 + np.cos(np.pi * place)), 0.0)
    return wave
