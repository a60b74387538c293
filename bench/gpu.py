"""What needs an NVIDIA GPU: NF4/QLoRA and bf16 training speed on a Hugging Face folder. `python -m bench gpu`, with BEDSIDE_GPU_BASE set."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.engine.contract import ChatContract, template_text
from bedside.recipe import Adapter, Stage, Training
from bedside.training.base import load_tokenizer
from bedside.training.rows import make_rows
from bedside.training.train import train_stage
from bedside.workspace.files import read_jsonl, sha256_file
from bedside.workspace.ledger import DropLedger

ANSWERS = Path("data/practice-answers.jsonl")


def measure(console: Console) -> None:
    """Train one stage in bf16 and one in NF4; print tokens a second, peak memory and held-out loss."""
    folder = os.environ.get("BEDSIDE_GPU_BASE")
    if not torch.cuda.is_available() or not folder:
        console.print("skipped: needs an NVIDIA GPU and BEDSIDE_GPU_BASE, a Llama or Mistral folder", highlight=False)
        return
    base = Path(folder)
    rows = make_rows(_conversations(), _contract(base), load_tokenizer(base), DropLedger(), max_long_share=1)
    table = Table("", "tokens/s", "peak GiB", "held-out loss", title=f"{base.name}, {torch.cuda.get_device_name()}")
    for kind in ("none", "nf4"):
        torch.cuda.reset_peak_memory_stats()
        stage = Stage(name=kind, use="sources", rows=len(rows), learning_rate=1e-4)
        training = Training(
            stages=(stage,), max_length=1024, tokens_per_step=8192, quantisation=kind, adapter=Adapter(targets="q-v", dropout=0.05)
        )
        with tempfile.TemporaryDirectory() as out:
            found = train_stage(
                base=base,
                start=None,
                rows=rows[20:],
                held_out=rows[:20],
                stage=stage,
                training=training,
                seed=1,
                out=Path(out),
                console=console,
            )
        name = {"none": "bf16", "nf4": "NF4"}[kind]
        table.add_row(
            name, f"{found.tokens_per_second:.0f}", f"{torch.cuda.max_memory_allocated() / 2**30:.1f}", f"{found.held_out_after:.3f}"
        )
    console.print(table)


def _conversations() -> list[Conversation]:
    return [
        Conversation(
            messages=tuple(Message.model_validate(m) for m in row["messages"]),
            provenance=Provenance(source="bench", where=str(n), family=str(n)),
        )
        for n, row in enumerate(read_jsonl(ANSWERS))
    ] * 10


def _contract(base: Path) -> ChatContract:
    tokenizer = load_tokenizer(base)
    return ChatContract(
        template_name="mistral",
        template=template_text("mistral"),
        bos_token=str(tokenizer.bos_token or ""),
        eos_token=str(tokenizer.eos_token),
        bos_id=tokenizer.bos_token_id,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.eos_token_id,
        stop_ids=(tokenizer.eos_token_id,),
        adds_bos=False,
        max_length=1024,
        tokenizer_sha256=sha256_file(base / "tokenizer.json"),
        systems={},
    )
