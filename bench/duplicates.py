"""Near duplicates among made-up short records: time and memory by number, and what is found of the planted ones."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from bedside.corpus.cluster import map_batches
from bedside.corpus.duplicates import Record, best_first, find_twins, gather, sketch

SIZES = tuple(int(size) for size in os.environ.get("BEDSIDE_BENCH_RECORDS", "50000,100000").split(","))
"""The full measurement: BEDSIDE_BENCH_RECORDS=1000000."""
PLANTED = 0.1
_WORDS = 20


def measure(console: Console) -> None:
    """Print seconds, memory and recall for each number of records."""
    table = Table("records", "sketching s", "matching s", "µs a record", "peak GiB", "planted found", "others dropped")
    for size in SIZES:
        start = perf_counter()
        sketches = gather(map_batches(sketch, _records(size), processes=2))
        middle = perf_counter()
        twins = find_twins(sketches, best_first(np.zeros(size, dtype=np.int64), sketches.length))
        end = perf_counter()
        planted = int(size * PLANTED)
        copies, originals = np.arange(size - planted, size), np.arange(planted)
        found = (twins.of[copies] == originals) | (twins.of[originals] == copies)
        peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
        others = int((twins.of >= 0).sum() - found.sum()) / size
        row = (f"{size:,}", f"{middle - start:.1f}", f"{end - middle:.1f}", f"{(end - start) / size * 1e6:.0f}", f"{peak:.2f}")
        table.add_row(*row, f"{found.mean():.1%}", f"{others:.2%}")
    console.print(table)


def _records(size: int) -> Iterator[Record]:
    """Random sentences of 20 words; the last tenth are the first tenth again with one word changed."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(5000)]
    planted = int(size * PLANTED)
    first: list[list[str]] = []
    for number in range(size - planted):
        said = rng.choices(words, k=_WORDS)
        if number < planted:
            first.append(said)
        yield " ".join(said), ""
    for said in first:
        said[rng.randrange(_WORDS)] = rng.choice(words)
        yield " ".join(said), ""
