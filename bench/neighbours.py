"""One understanding alone and beside a second program that computes: OpenMP's own waiting against the short one that bedside sets."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bedside.engine import classify
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.evaluation.suites import load_suite
from bedside.release import load_release
from bench.understanding import RELEASE

SECONDS = 30
# OpenMP's default, from the manual of GCC's libgomp under GOMP_SPINCOUNT; then bedside's, from `share_processor`.
SPINS = {"OpenMP's default": "300000", "bedside's": "100"}


def measure(console: Console) -> None:
    """Print the median of one understanding, alone and with a second process doing the same."""
    table = Table("waiting", "alone, ms", "beside another, ms", title="one understanding, median")
    for name, spins in SPINS.items():
        (alone,), beside = _run(1, spins), _run(2, spins)
        table.add_row(name, f"{alone:.0f}", f"{max(beside):.0f}")
    console.print(table)


def _run(processes: int, spins: str) -> list[float]:
    command = [sys.executable, "-m", "bench.neighbours"]
    environment = {**os.environ, "GOMP_SPINCOUNT": spins}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)]
    return [float(child.communicate()[0].split()[-1]) for child in running]


def _ask() -> float:
    """Ask for SECONDS, and return the median in milliseconds."""
    release = load_release(RELEASE)
    engine = LlamaCppEngine(release.model, release.contract)
    turns = load_suite("caller-turns-dev")
    seconds: list[float] = []
    end = perf_counter() + SECONDS
    while perf_counter() < end:
        start = perf_counter()
        classify(engine, turns[len(seconds) % len(turns)].text)
        seconds.append(perf_counter() - start)
    engine.close()
    return median(seconds) * 1000


if __name__ == "__main__":
    print(_ask())
