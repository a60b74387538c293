"""The safety core on one core: time of a caller's turn and of loading, and what it finds beside a plain list of regular expressions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bedside.evaluation.statistics import latency
from bedside.safety.guard import guard
from bedside.safety.medicines import recognise
from bedside.safety.triage import triage

BANK = Path("tests/safety/bank")
EMERGENCY = {"E000", "E_CRISIS", "E_POISON", "ED_NOW", "NURSE_NOW"}
ANSWER = "I can book you with Doctor Nguyen on Thursday at ten past two. Is that all right?"

# What a first version of such a line usually has: the diagnosis words and the best known signs.
PLAIN = re.compile(
    r"heart attack|chest pain|stroke|can'?t breathe|not breathing|unconscious|overdose|suicid|kill myself|seizure|bleeding|anaphyla|"
    r"snake ?bite|collapsed|choking|poison|meningitis|emergency|severe pain"
)

_LOADING = """
from time import perf_counter
from datetime import date
start = perf_counter()
from bedside.safety.triage import triage
from bedside.safety.medicines import recognise
from bedside.safety.interactions import check
from bedside.safety.guard import guard
imported = perf_counter()
triage("hello"); recognise("hello"); check("warfarin", "ibuprofen"); guard("Hello.", day=date(2026, 11, 22))
print(imported - start, perf_counter() - imported)
"""


def measure(console: Console) -> None:
    """Print times and recall."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        _measure(console)
    finally:
        os.sched_setaffinity(0, cores)


def _measure(console: Console) -> None:
    rows = [
        json.loads(line)
        for name in ("emergencies", "benign", "blind")
        for line in (BANK / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    turns = [row for row in rows if len(row["text"].split()) <= 60]
    triage("hello"), recognise("hello"), guard(ANSWER, day=date(2026, 11, 22))
    seconds = {"triage, medicines and guard": [], "plain regular expressions": []}
    for row in turns:
        start = perf_counter()
        triage(row["text"]), recognise(row["text"]), guard(ANSWER, day=date(2026, 11, 22))
        middle = perf_counter()
        PLAIN.search(row["text"].lower())
        seconds["triage, medicines and guard"].append(middle - start)
        seconds["plain regular expressions"].append(perf_counter() - middle)
    blind = [row for row in rows if row["part"] == "blind"]
    found = {
        "triage, medicines and guard": [triage(row["text"]).disposition in EMERGENCY for row in blind],
        "plain regular expressions": [bool(PLAIN.search(row["text"].lower())) for row in blind],
    }
    table = Table(
        "", "p50 ms", "p99 ms", "emergencies found", "false emergencies", title=f"{len(turns)} turns, one core; {len(blind)} of them unseen"
    )
    for name, hits in found.items():
        times = latency(seconds[name])
        urgent = [hit for hit, row in zip(hits, blind, strict=True) if row["disposition"] in EMERGENCY]
        harmless = [hit for hit, row in zip(hits, blind, strict=True) if row["disposition"] not in EMERGENCY | {"HUMAN"}]
        p99 = sorted(seconds[name])[int(0.99 * len(turns))]
        table.add_row(
            name, f"{times.p50 * 1000:.2f}", f"{p99 * 1000:.2f}", f"{sum(urgent) / len(urgent):.1%}", f"{sum(harmless) / len(harmless):.1%}"
        )
    console.print(table)
    imports, loading = zip(*(map(float, _loaded().split()) for _ in range(5)), strict=True)
    console.print(
        f"loading the knowledge {sorted(loading)[2] * 1000:.0f} ms, imports {sorted(imports)[2] * 1000:.0f} ms (medians of 5)",
        highlight=False,
    )


def _loaded() -> str:
    return subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True).stdout
