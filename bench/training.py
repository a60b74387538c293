"""Useful tokens a second: bedside's training beside TRL's `SFTTrainer` with its defaults, on the same rows, machine and adapter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import torch
from datasets import Dataset
from peft import LoraConfig
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from bedside.corpus.conversation import Conversation
from bedside.corpus.sources import read_source
from bedside.engine.contract import ChatContract
from bedside.recipe import Stage, Training
from bedside.training.base import load_tokenizer
from bedside.training.packing import Row
from bedside.training.rows import make_rows
from bedside.training.train import load_model, mean_loss, train_stage
from bedside.workspace.ledger import DropLedger

BASE = Path("runs/clinic-line/base")
ROWS, HELD_OUT = 128, 40
LEARNING_RATE = 1e-3


def measure(console: Console) -> None:
    """Train one epoch on the same rows three times; print speed, held-out loss and ratios."""
    contract = ChatContract.load(BASE).model_copy(update={"max_length": 1024})
    conversations = _conversations()
    tokenizer = load_tokenizer(BASE)
    rows = make_rows(conversations, contract, tokenizer, DropLedger(), max_long_share=1)
    train, held_out = rows[:ROWS], rows[ROWS : ROWS + HELD_OUT]
    table = Table(
        "",
        "tokens/s",
        "held-out loss",
        title=f"{len(train)} rows, {sum(len(r.input_ids) for r in train)} tokens, one epoch, LoRA r 16 on all linear layers",
    )
    ours = _ours(train, held_out, console)
    theirs = {
        f"SFTTrainer, learning rate {rate:g}": _theirs(conversations[: len(train)], train, held_out, rate)
        for rate in (SFTConfig(output_dir="x", use_cpu=True).learning_rate, LEARNING_RATE)
    }
    for name, (speed, loss) in {"bedside": ours, **theirs}.items():
        table.add_row(name, f"{speed:.0f}", f"{loss:.3f}")
    console.print(table)
    for name, (speed, loss) in theirs.items():
        console.print(
            f"bedside trains {ours[0] / speed:.1f} times the useful tokens a second of {name}, at a held-out loss of {ours[1]:.3f} against {loss:.3f}",
            highlight=False,
        )


def _conversations() -> list[Conversation]:
    """ChatDoctor rows where they are, else the practice's own answers."""
    path = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "chatdoctor" / "chatdoctor5k.json"
    reader, path = ("chatdoctor", path) if path.exists() else ("chat_messages", Path("data/practice-answers.jsonl"))
    return list(read_source(reader, path, source="bench", licence="", locale="en", ledger=DropLedger(), limit=ROWS + HELD_OUT))


def _ours(train: Sequence[Row], held_out: Sequence[Row], console: Console) -> tuple[float, float]:
    stage = Stage(name="bench", use="sources", rows=len(train), learning_rate=LEARNING_RATE)
    with tempfile.TemporaryDirectory() as folder:
        found = train_stage(
            base=BASE,
            start=None,
            rows=train,
            held_out=held_out,
            stage=stage,
            training=Training(stages=(stage,), max_length=1024, tokens_per_step=1024),
            seed=1,
            out=Path(folder),
            console=console,
        )
    return found.tokens_per_second, found.held_out_after


def _theirs(conversations: Sequence[Conversation], train: Sequence[Row], held_out: Sequence[Row], rate: float) -> tuple[float, float]:
    """TRL as a user would first write it: a model, rows of prompt and completion, an adapter; everything else its default."""
    rows = Dataset.from_list(
        [{"prompt": [m.model_dump() for m in c.messages[:-1]], "completion": [c.messages[-1].model_dump()]} for c in conversations]
    )
    tokenizer = load_tokenizer(BASE)
    tokenizer.chat_template = ChatContract.load(BASE).template
    with tempfile.TemporaryDirectory() as folder:
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
        options = SFTConfig(
            output_dir=folder, num_train_epochs=1, report_to="none", learning_rate=rate, disable_tqdm=True, save_strategy="no", use_cpu=True
        )
        trainer = SFTTrainer(
            model=model,
            args=options,
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        start = perf_counter()
        trainer.train()
        seconds = perf_counter() - start
        merged = trainer.model.merge_and_unload()
        merged.save_pretrained(Path(folder) / "merged")
        loss = mean_loss(load_model(Path(folder) / "merged"), held_out, 1024)
    return sum(len(r.input_ids) for r in train) / seconds, loss
