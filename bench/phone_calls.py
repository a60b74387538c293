"""Simulated callers: who got what they rang for and which emergencies were heard, by typing, and by voice on quiet lines and at 15 dB.

BEDSIDE_BENCH_VOICE_CALLS says how many calls are made by voice on each kind of line (128 by default; 0: none). They take real time: 128 calls
about 15 minutes, after some minutes in which the callers' words are made.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bedside.cli.shared import open_release, share_processor
from bedside.phone.call.menu import understand_by_words
from bedside.phone.line import Line, LineSettings, understanding_of
from bedside.phone.practice import read_practice
from bedside.phone.simulated.people import plans
from bedside.phone.simulated.report import write_report
from bedside.phone.simulated.run import by_text, by_voice
from bedside.phone.simulated.scoring import Result, summary

RELEASE = Path("runs/clinic-line/release")
PRACTICE = Path("practices/wattle-street.yaml")
REPORTS = Path(os.environ.get("BEDSIDE_BENCH_REPORTS", "runs/simulated-calls"))
TYPED = 256
SPOKEN = int(os.environ.get("BEDSIDE_BENCH_VOICE_CALLS", "128"))
NOISE_DB = 15.0


def measure(console: Console) -> None:
    """Print the shares, and leave a report of each run."""
    table = Table("", "got what they rang for", "emergencies", "within 2 s", "first sound, median and p95 s", title="simulated callers")
    with_model = RELEASE.is_dir()
    runs: dict[str, Callable[[], list[Result]]] = {"typed, words of the menu": lambda: _typed(False)}
    if with_model:
        runs["typed, release"] = lambda: _typed(True)
    if SPOKEN:
        runs["by voice, quiet lines"] = lambda: _spoken("quiet", None, with_model)
        runs["by voice, 15 dB"] = lambda: _spoken("15db", NOISE_DB, with_model)
    for title, run in runs.items():
        results = run()
        found = summary(results)
        median, late = found.first_audio_ms
        wait = f"{median / 1000:.2f}, {late / 1000:.2f}" if median == median else ""
        table.add_row(title, str(found.done), str(found.urgent), str(found.urgent_soon) if wait else "", wait)
        for result in results:
            if not result.done:
                said = " / ".join(entry.text for entry in result.transcript.entries if entry.what == "Heard")
                console.print(f"{title}: {result.plan.number} {result.plan.persona.id} {result.plan.errand.id}: {said}", highlight=False)
    console.print(table)


def _line(folder: str, with_model: bool) -> Line:
    share_processor()
    engine = open_release(RELEASE) if with_model else None
    understand = understanding_of(engine) if engine else understand_by_words
    return Line(read_practice(PRACTICE), LineSettings(Path(folder), voice="espeak"), understand, engine.contract.hash if engine else "")


def _typed(with_model: bool) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        line = _line(folder, with_model)
        return by_text(line, plans(line.practice, TYPED), lambda done, of: None)


def _spoken(name: str, noise_db: float | None, with_model: bool) -> list[Result]:
    reports = REPORTS / name
    (reports / "audio").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        line = _line(folder, with_model)
        results = asyncio.run(by_voice(line, plans(line.practice, SPOKEN), reports, noise_db, lambda *_: None, lambda *_: None))
    write_report(reports / "report.html", results, {"Run": name})
    return results


if __name__ == "__main__":
    measure(Console(soft_wrap=True))
