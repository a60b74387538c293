"""Progress of a training stage: a live bar on a terminal, plain lines elsewhere, and JSON Lines for machines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_PLAIN_SECONDS = 15.0


class ProgressCallback(TrainerCallback):
    """Shows loss, useful tokens a second and time left, and files each event.

    Args:
        name: of the stage.
        events: JSON Lines file; appended to, so that a resumed stage keeps its history.
        console: where to show.
    """

    def __init__(self, name: str, events: Path, console: Console) -> None:
        self.name, self.events, self.console = name, events, console
        self.tokens = 0
        self._started = self._shown = 0.0
        self._first_step = 0
        self._bar: Progress | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._started = self._shown = time.perf_counter()
        self._first_step = state.global_step
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} steps · loss {task.fields[loss]} · {task.fields[speed]} tokens/s"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
            self._bar.add_task(self.name, total=state.max_steps, completed=state.global_step, loss="…", speed="…")

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        elapsed = time.perf_counter() - self._started
        speed = self.tokens / elapsed if elapsed else 0.0
        event = {
            "stage": self.name,
            "step": state.global_step,
            "of": state.max_steps,
            "seconds": round(elapsed, 1),
            "tokens": self.tokens,
            "tokens_per_second": round(speed, 1),
            **(logs or {}),
        }
        with self.events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step, loss=f"{loss:.3f}", speed=f"{speed:.0f}")
        elif time.perf_counter() - self._shown > _PLAIN_SECONDS:
            self._shown = time.perf_counter()
            left = elapsed / max(1, state.global_step - self._first_step) * (state.max_steps - state.global_step)
            self.console.print(
                f"{self.name}: step {state.global_step} of {state.max_steps}, loss {loss:.3f}, {speed:.0f} tokens/s, {left:.0f} s left",
                highlight=False,
            )

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._bar:
            self._bar.stop()
