"""One understanding beside the same model writing free JSON for the same turns, taken in turn on the same engine."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bedside.engine import classify
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.evaluation.statistics import latency
from bedside.evaluation.suites import load_suite
from bedside.release import load_release

RELEASE = Path("runs/clinic-line/release")
TURNS = 150


def measure(console: Console) -> None:
    """Print p50, p95 and the ratio of free JSON to one understanding."""
    release = load_release(RELEASE)
    engine = LlamaCppEngine(release.model, release.contract)
    classify(engine, "hello")
    ours, free, tokens = [], [], []
    for turn in load_suite("caller-turns-dev")[:TURNS]:
        start = perf_counter()
        classify(engine, turn.text)
        ours.append(perf_counter() - start)
        # As long as the gold answer would be in JSON; forced, so that a model not taught to write JSON neither stops early nor runs on.
        gold = json.dumps({"intents": [{"name": name, "p": 0.97} for name in turn.intents], "slots": turn.slots, "entropy": 0.1})
        length = len(engine.tokenize(gold))
        prompt = release.contract.render([{"role": "user", "content": turn.text}])
        start = perf_counter()
        engine.complete(prompt, max_tokens=length, ignore_stop=True)
        free.append(perf_counter() - start)
        tokens.append(length)
    engine.close()
    table = Table("", "p50 ms", "p95 ms", title=f"{len(ours)} turns, {release.manifest.name}, JSON of {median(tokens):.0f} tokens")
    for name, seconds in (("one understanding", ours), ("free JSON", free)):
        found = latency(seconds)
        table.add_row(name, f"{found.p50 * 1000:.0f}", f"{found.p95 * 1000:.0f}")
    console.print(table)
    console.print(
        f"free JSON takes {median(b / a for a, b in zip(ours, free, strict=True)):.1f} times as long (median of pairs)", highlight=False
    )
