"""The scores of the last evaluation of the clinic line: shipped, merged, base and MiniLM on the same turns."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

SCORES = Path("runs/clinic-line/evaluate/scores.json")
METRICS = (
    "micro_f1",
    "macro_f1",
    "exact_match",
    "exact_match_multi",
    "slot_f1",
    "out_of_scope_rejection",
    "false_rejection",
    "ece",
    "perplexity",
)


def measure(console: Console) -> None:
    """Print each system's score with its interval."""
    report = json.loads(SCORES.read_text(encoding="utf-8"))
    table = Table("metric", *report["systems"], title=f"{report['title']}, {report['facts']['date'][:10]}")
    for metric in METRICS:
        cells = [system["metrics"].get(metric) for system in report["systems"].values()]
        table.add_row(
            metric, *("–" if c is None or c["value"] is None else f"{c['value']:.3f} ({c['low']:.3f} to {c['high']:.3f})" for c in cells)
        )
    console.print(table)
