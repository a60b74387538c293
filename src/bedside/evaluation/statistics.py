"""Intervals, paired tests, calibration and latency: how sure a score is, and whether two systems really differ.

Everything random takes a seed, and equal seeds give equal results. A metric that is undefined on some samples (no multi-intent
sample, no slot) is `nan` there; a resample on which it is undefined is left out of its interval.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2000
BINS = 10

_CELLS_AT_ONCE = 4_000_000
_ROUNDING = 1e-12


class Identified(Protocol):
    """A prediction that knows which sample it belongs to."""

    @property
    def id(self) -> str: ...


T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
P = TypeVar("P", bound=Identified)


class Metric(Protocol[T_contra]):
    """One number over samples, in whatever order they come."""

    def __call__(self, samples: Sequence[T_contra], /) -> float: ...


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval.

    Attributes:
        value: the statistic on the samples as they are.
        low: lower end.
        high: upper end. An interval of no width means that the samples all agree, not that there is nothing left to doubt.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How two systems differ on the same samples.

    Attributes:
        difference: first less second, with the interval of the paired bootstrap.
        p: two-sided p of the paired permutation test, never below 1 / (resamples + 1).
    """

    difference: Interval
    p: float


@dataclass(frozen=True)
class Sums:
    """A metric taken apart into what is counted on each sample and what is made of the totals.

    Attributes:
        counts: (samples, counts).
        of_totals: (..., counts) to (...); `nan` where undefined.
    """

    counts: Floats
    of_totals: Callable[[Floats], Floats]


class SumMetric(Generic[T]):
    """A metric that depends on its samples only through sums of counts, so that all resamples are one matrix product.

    Use it as a decorator of the function that takes the metric apart; the result is called like any other metric.
    """

    def __init__(self, sums: Callable[[Sequence[T]], Sums]) -> None:
        self.sums = sums
        functools.update_wrapper(self, sums)

    def __call__(self, samples: Sequence[T], /) -> float:
        sums = self.sums(samples)
        return float(sums.of_totals(sums.counts.sum(axis=0)))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element by element; nothing over nothing is `nan`."""
    quotient = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) > 0)
    return quotient


def bootstrap(samples: Sequence[T], metric: Metric[T], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of a metric (Efron and Tibshirani 1993, chapter 13).

    Args:
        samples: what the metric is taken over; samples are drawn as wholes, with replacement.
        metric: a `SumMetric` (fast) or any function of a sequence of samples (called once for each resample).
        resamples: how many times to draw.
        level: share of resamples inside the interval, 0 to 1.
        seed: of the draws.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("no samples to draw from")
    of_weights = _of_weights(samples, metric)
    drawn = np.concatenate([of_weights(weights) for weights in _draws(len(samples), resamples, np.random.default_rng(seed))])
    return _percentile_interval(metric(samples), drawn, level)


def compare(
    first: Sequence[P], second: Sequence[P], metric: Metric[P], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Comparison:
    """Whether two systems differ on the same samples.

    The interval of the difference comes from the paired bootstrap (the same samples drawn for both; Efron and Tibshirani 1993),
    the p from the paired permutation test, also called approximate randomisation (the two systems' predictions for a sample
    change places at random; Noreen 1989, Yeh 2000).

    Args:
        first: one system's predictions, in any order.
        second: the other's, for the same sample ids.
        metric: as for `bootstrap`.
        resamples: draws of each test.
        level: of the interval, 0 to 1.
        seed: of the draws.

    Raises:
        ValueError: there are no samples, an id occurs twice, or the ids differ.
    """
    pooled = _paired(first, second)
    size = len(first)
    of_weights = _of_weights(pooled, metric)
    rng = np.random.default_rng(seed)

    def differences(kept: Floats, other: Floats) -> Floats:
        return of_weights(np.hstack([kept, other])) - of_weights(np.hstack([other, kept]))

    absent = np.zeros((1, size))
    observed = float(differences(np.ones((1, size)), absent)[0])
    drawn = np.concatenate([differences(weights, np.zeros_like(weights)) for weights in _draws(size, resamples, rng)])
    swapped = np.concatenate([differences(coins, 1 - coins) for coins in _coins(size, resamples, rng)])
    return Comparison(_percentile_interval(observed, drawn, level), _two_sided_p(observed, swapped))


def _of_weights(samples: Sequence[T], metric: Metric[T]) -> Callable[[Floats], Floats]:
    """The metric as a function of how often each sample was drawn: (resamples, samples) to (resamples,)."""
    if isinstance(metric, SumMetric):
        sums = metric.sums(samples)
        return lambda weights: sums.of_totals(weights @ sums.counts)

    def one_by_one(weights: Floats) -> Floats:
        times = weights.astype(np.int64)
        indices = np.arange(len(samples))
        return np.array([metric([samples[int(i)] for i in np.repeat(indices, row)]) for row in times], dtype=np.float64)

    return one_by_one


def _paired(first: Sequence[P], second: Sequence[P]) -> list[P]:
    """The first system's predictions, then the second's in the same order of ids."""
    by_id = {prediction.id: prediction for prediction in second}
    ids = [prediction.id for prediction in first]
    if not ids:
        raise ValueError("no samples to draw from")
    if len(set(ids)) != len(ids) or len(by_id) != len(second):
        raise ValueError("a sample id occurs twice")
    if unpaired := set(ids) ^ set(by_id):
        raise ValueError(f"{len(unpaired)} sample ids belong to one system only, such as {min(unpaired)!r}")
    return [*first, *(by_id[id] for id in ids)]


def _batches(size: int, resamples: int) -> Iterator[int]:
    """How many resamples to hold in memory at once."""
    at_once = max(1, _CELLS_AT_ONCE // size)
    for done in range(0, resamples, at_once):
        yield min(at_once, resamples - done)


def _draws(size: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each sample is drawn, with replacement: arrays of (rows, size) whose rows sum to `size`."""
    for rows in _batches(size, resamples):
        drawn = rng.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
        yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def _coins(size: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Fair coins, 0 or 1: arrays of (rows, size)."""
    for rows in _batches(size, resamples):
        yield rng.integers(2, size=(rows, size)).astype(np.float64)


def _percentile_interval(value: float, drawn: Floats, level: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not defined.size:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return Interval(value, float(low), float(high))


def _two_sided_p(observed: float, permuted: Floats) -> float:
    """The share of permutations at least as far from 0, the observed one counted in (Phipson and Smyth 2010)."""
    defined = permuted[~np.isnan(permuted)]
    if np.isnan(observed) or not defined.size:
        return float("nan")
    extreme = np.count_nonzero(np.abs(defined) >= abs(observed) - _ROUNDING)
    return float((1 + extreme) / (1 + defined.size))


@dataclass(frozen=True)
class CalibrationBin:
    """The decisions whose probability lies in one bin.

    Attributes:
        low: lower end of the bin, excluded (0 itself belongs to the first bin).
        high: upper end, included.
        count: decisions in it.
        confidence: their mean probability, `nan` when there are none.
        accuracy: the share of them that was right, `nan` when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How well probabilities match how often they are right.

    Attributes:
        ece: expected calibration error, 0 (calibrated) to 1; `nan` without decisions.
        bins: of equal width, for a reliability diagram.
    """

    ece: float
    bins: tuple[CalibrationBin, ...]


def bin_counts(probabilities: Sequence[float], correct: Sequence[bool], bins: int = BINS) -> Floats:
    """What calibration counts: (bins, 3) of decisions, summed probability, and right decisions.

    Raises:
        ValueError: the lengths differ, or a probability is outside 0 to 1.
    """
    confidence = np.asarray(probabilities, dtype=np.float64)
    if len(confidence) != len(correct):
        raise ValueError(f"{len(confidence)} probabilities for {len(correct)} outcomes")
    if not np.all((confidence >= 0) & (confidence <= 1)):
        raise ValueError("a probability is outside 0 to 1")
    inner_edges = np.arange(1, bins) / bins
    index = np.searchsorted(inner_edges, confidence, side="left")
    columns = (np.ones(len(confidence)), confidence, np.asarray(correct, dtype=np.float64))
    return np.stack([np.bincount(index, weights=column, minlength=bins) for column in columns], axis=1)


def expected_calibration_error(counts: Floats) -> Floats:
    """The expected calibration error of summed `bin_counts`: (..., bins, 3) to (...), `nan` without decisions (Guo et al. 2017, eq. 3)."""
    gaps = np.abs(counts[..., 1] - counts[..., 2]).sum(axis=-1)
    return ratio(gaps, counts[..., 0].sum(axis=-1))


def calibration(probabilities: Sequence[float], correct: Sequence[bool], bins: int = BINS) -> Calibration:
    """Expected calibration error and its bins (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: of the decisions that were made, 0 to 1.
        correct: whether each was right.
        bins: how many, of equal width.

    Raises:
        ValueError: the lengths differ, or a probability is outside 0 to 1.
    """
    counts = bin_counts(probabilities, correct, bins)
    confidence, accuracy = ratio(counts[:, 1], counts[:, 0]), ratio(counts[:, 2], counts[:, 0])
    return Calibration(
        ece=float(expected_calibration_error(counts)),
        bins=tuple(
            CalibrationBin(i / bins, (i + 1) / bins, int(counts[i, 0]), float(confidence[i]), float(accuracy[i])) for i in range(bins)
        ),
    )


@dataclass(frozen=True)
class Latency:
    """How long answers took, in seconds.

    Attributes:
        mean: arithmetic mean.
        p50: median.
        p90: 90th percentile.
        p95: 95th percentile.
        p99: 99th percentile.
        slowest: the longest.
    """

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    slowest: float


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of durations, linear between neighbours.

    Raises:
        ValueError: there are no durations.
    """
    if not seconds:
        raise ValueError("no durations")
    p50, p90, p95, p99, slowest = (float(p) for p in np.percentile(seconds, [50, 90, 95, 99, 100]))
    return Latency(float(np.mean(seconds)), p50, p90, p95, p99, slowest)
