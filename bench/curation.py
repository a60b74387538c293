"""Curation of made-up question and answer rows, end to end: time a row and memory by number of rows."""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bedside.corpus.curate import curate
from bedside.recipe.models import Recipe

SIZES = tuple(int(size) for size in os.environ.get("BEDSIDE_BENCH_ROWS", "4000,8000,16000").split(","))
"""The full measurement: BEDSIDE_BENCH_ROWS=50000,100000,200000."""
_COMPLAINTS = (
    "a cough",
    "an itchy rash",
    "a sore knee",
    "trouble sleeping",
    "heartburn",
    "a blocked nose",
    "back pain",
    "dry eyes",
    "hay fever",
)
_SINCE = (
    "since Monday",
    "for three weeks",
    "after a long flight",
    "since I moved house",
    "every winter",
    "when I climb stairs",
    "at night",
)


def measure(console: Console) -> None:
    """Print rows kept, seconds, milliseconds a row, and the peak memory of this process and of its largest worker."""
    table = Table("rows", "kept", "s", "ms a row", "peak GiB", "worker GiB")
    for size in SIZES:
        with TemporaryDirectory() as folder:
            start = perf_counter()
            facts = curate(_recipe(_written(Path(folder), size)), Path(folder), {}, Path(folder), console, day=date.today())
            seconds = perf_counter() - start
        peaks = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        kept = sum(facts["records"].values())
        table.add_row(f"{size:,}", f"{kept:,}", f"{seconds:.0f}", f"{seconds / size * 1000:.2f}", *(f"{peak:.2f}" for peak in peaks))
    console.print(table)


def _written(folder: Path, size: int) -> Path:
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in _rows(size))
    return path


def _rows(size: int) -> Iterator[dict[str, str]]:
    rng, words = random.Random(1), files("bedside.knowledge").joinpath("everyday_words.txt").read_text(encoding="utf-8").split()
    for _ in range(size):
        complaint, since = rng.choice(_COMPLAINTS), rng.choice(_SINCE)
        seen, noticed = (" ".join(rng.choices(words, k=20)) for _ in range(2))
        asked = f"Doctor, I have had {complaint} {since}. I noticed it with the {seen}. What could help?"
        answered = f"Thank you for the question about {complaint}. Keep a diary of the {noticed}, and show it to your own doctor at the next visit."
        yield {"instruction": "Answer the question.", "input": asked, "output": answered}


def _recipe(rows: Path) -> Recipe:
    source = {"name": "rows", "reader": "chatdoctor", "path": str(rows), "licence": "own"}
    return Recipe.model_validate(
        {
            "name": "bench",
            "description": "A measurement.",
            "task": "answer",
            "base": {"source": "none", "licence": "own", "template": "chatml"},
            "corpus": {"sources": [source], "deidentify": "redact"},
            "training": {"stages": [{"name": "one", "use": "sources", "rows": 1, "learning_rate": 1e-4}]},
            "release": {"quantisation": "Q8_0"},
        }
    )
