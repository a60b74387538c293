"""The demo: a recipe from beginning to end, then the release at work on a few callers."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bedside.engine import classify
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.errors import SourceError
from bedside.pipeline import Pipeline
from bedside.recipe.models import Recipe
from bedside.release import load_release
from bedside.workspace.run import Run


def run_demo(recipe: Recipe, recipe_folder: Path, calls: Path, runs: Path, console: Console) -> None:
    """Run a recipe and let its release understand the turns of `calls`, one a line.

    Raises:
        SourceError: `calls` does not exist.
    """
    if not calls.is_file():
        raise SourceError(f"there is no file of calls {str(calls)!r}", "Give a text file with one caller turn a line with --calls")
    start = time.perf_counter()
    folder = Pipeline(recipe, recipe_folder, Run(runs / recipe.name), console).all()
    console.rule("the release at work")
    show_calls(folder, calls, console)
    minutes, gigabytes = (time.perf_counter() - start) / 60, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    console.print(f"\n{minutes:.1f} minutes, at most {gigabytes:.1f} GB of memory", highlight=False)
    console.print(
        f"report:  {folder / 'evaluation.html'}\nNext:    bedside serve --release {folder}\nNot a medical device. Not for clinical use without validation.",
        highlight=False,
    )


def show_calls(release: Path, calls: Path, console: Console) -> None:
    """Print what the release makes of each call, with its time."""
    loaded = load_release(release)
    engine = LlamaCppEngine(loaded.model, loaded.contract)
    classify(engine, "hello")
    table = Table("caller", "intents", "slots", "ms", show_lines=True)
    times = []
    for text in filter(None, (line.strip() for line in calls.read_text(encoding="utf-8").splitlines())):
        found = classify(engine, text)
        times.append(found.seconds * 1000)
        table.add_row(
            text,
            "\n".join(f"{i.name} {i.p:.2f}" for i in found.intents) or "none",
            "\n".join(f"{k}: {v}" for k, v in found.slots.items()),
            f"{times[-1]:.0f}",
        )
    console.print(table)
    console.print(f"{len(times)} turns, median {sorted(times)[len(times) // 2]:.0f} ms", highlight=False)
