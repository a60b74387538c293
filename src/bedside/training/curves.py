"""The learning curve of a stage, as a picture people look at."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")


def plot_curve(events: Path, out: Path, *, title: str) -> None:
    """Draw loss over steps, with learning rate and speed below, from a stage's `events.jsonl`."""
    rows = [row for row in map(json.loads, events.read_text(encoding="utf-8").splitlines()) if "loss" in row]
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(7, 5), layout="constrained")
    loss, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    loss.plot(steps, [row["loss"] for row in rows], color="#0b6e8a")
    loss.set(title=title, ylabel="loss a taught token (nats)")
    loss.grid(alpha=0.3)
    below.plot(steps, [row["learning_rate"] for row in rows], color="#8a4b0b")
    below.set(xlabel="step", ylabel="learning rate")
    below.grid(alpha=0.3)
    figure.savefig(out, dpi=120)
