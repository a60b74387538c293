"""All that an evaluation found out about its systems, as dataclasses that can be written as JSON."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bedside.evaluation.scorers import METRICS, Confusion, IntentScore, Understood, calibration_of, confusions, per_intent
from bedside.evaluation.statistics import RESAMPLES, Calibration, Comparison, Interval, Latency, bootstrap, compare, latency


@dataclass(frozen=True)
class WrongSample:
    """A turn whose intents were not exactly the gold ones.

    Attributes:
        text: the caller's words.
        understood: gold and prediction.
    """

    text: str
    understood: Understood


@dataclass(frozen=True)
class SystemScores:
    """How one system did.

    Attributes:
        metrics: value and 95 % interval of each metric; the names of `scorers.METRICS`, or others.
        per_intent: of every intent in gold or prediction.
        calibration: of the predicted intents.
        latency: summary of `seconds`.
        seconds: how long each answer took.
        entropy_right: entropy of the decisions that were exactly right, in nats.
        entropy_wrong: of the others.
        confusions: the most frequent wrong pairs.
        wrong: the turns that went wrong, in the order of the samples.
    """

    metrics: dict[str, Interval]
    per_intent: dict[str, IntentScore]
    calibration: Calibration
    latency: Latency
    seconds: tuple[float, ...]
    entropy_right: tuple[float, ...]
    entropy_wrong: tuple[float, ...]
    confusions: tuple[Confusion, ...] = ()
    wrong: tuple[WrongSample, ...] = ()


@dataclass(frozen=True)
class Difference:
    """What one system's metric has over another's, on the same samples.

    Attributes:
        first: the system that is judged.
        second: the system it is held against.
        metric: the metric's name.
        comparison: first less second, and p.
    """

    first: str
    second: str
    metric: str
    comparison: Comparison


@dataclass(frozen=True)
class Machine:
    """What an evaluation ran on.

    Attributes:
        cpu: model name.
        cores: that this process may use.
        memory: main memory, in bytes; 0 when the system does not tell.
    """

    cpu: str
    cores: int
    memory: int

    @classmethod
    def here(cls) -> Machine:
        """The machine that this runs on."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        names = getattr(os, "sysconf_names", {})
        known = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
        return cls(_cpu_model(), cores, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else 0)


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


@dataclass(frozen=True)
class RunFacts:
    """When, on what and from what a report was made.

    Attributes:
        date: in UTC.
        machine: that the systems ran on.
        version: of bedside.
        seed: of the resampling.
        hashes: what was evaluated and on what, to SHA-256 in hex.
    """

    date: datetime
    machine: Machine
    version: str
    seed: int
    hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def now(cls, seed: int, hashes: Mapping[str, str]) -> RunFacts:
        """Facts of a run that ends now, on this machine, with the installed bedside."""
        try:
            version = importlib.metadata.version("bedside")
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        return cls(datetime.now(UTC), Machine.here(), version, seed, dict(hashes))


def score_system(samples: Sequence[Understood], texts: Mapping[str, str], *, resamples: int = RESAMPLES, seed: int = 0) -> SystemScores:
    """Score one system's predictions by every metric of `scorers.METRICS`.

    Args:
        samples: its predictions.
        texts: sample id to the caller's words.
        resamples: draws of each interval.
        seed: of the draws.

    Raises:
        ValueError: there are no samples, or a probability is missing or outside 0 to 1.
        KeyError: a wrong sample has no text.
    """
    seconds = tuple(s.seconds for s in samples)
    return SystemScores(
        metrics={name: bootstrap(samples, shown.metric, resamples=resamples, seed=seed) for name, shown in METRICS.items()},
        per_intent=per_intent(samples),
        calibration=calibration_of(samples),
        latency=latency(seconds),
        seconds=seconds,
        entropy_right=tuple(s.entropy for s in samples if s.right),
        entropy_wrong=tuple(s.entropy for s in samples if not s.right),
        confusions=tuple(confusions(samples)),
        wrong=tuple(WrongSample(texts[s.id], s) for s in samples if not s.right),
    )


def compare_systems(
    systems: Mapping[str, Sequence[Understood]], shipped: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Difference, ...]:
    """Compare the shipped system with every other one, by every metric of `scorers.METRICS`.

    Args:
        systems: name to predictions, all for the same sample ids.
        shipped: the name of the system that is judged.
        resamples: draws of each test.
        seed: of the draws.

    Raises:
        ValueError: the systems were not asked the same samples.
    """
    return tuple(
        Difference(shipped, other, name, compare(systems[shipped], samples, shown.metric, resamples=resamples, seed=seed))
        for other, samples in systems.items()
        if other != shipped
        for name, shown in METRICS.items()
    )


def to_json(value: object) -> Any:
    """A value of this package as what `json` can write: `nan` becomes null, sets become sorted lists, dates ISO 8601.

    Raises:
        TypeError: something inside has no form in JSON.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(to_json(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} has no form in JSON")
