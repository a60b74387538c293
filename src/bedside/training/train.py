"""One stage of the curriculum: LoRA on packed rows, loss on answers only, resumable.

TRL's `SFTTrainer` and PEFT do the training; three things are bedside's own, each for speed on processors and each held by a parity test:
packed rows with attention per row (`packing`), the fused LoRA product and loss (`fused`), and a head that is computed for taught tokens
only.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GgufConfig, PreTrainedModel
from trl import SFTConfig, SFTTrainer

from bedside.errors import TrainingError
from bedside.recipe.models import Stage, Training
from bedside.training.base import load_tokenizer
from bedside.training.curves import plot_curve
from bedside.training.fused import CrossEntropy, use_fast_lora
from bedside.training.packing import ATTENTION, BANDED, IGNORE, Row, collate, pack
from bedside.training.progress import ProgressCallback
from bedside.workspace.fetch import cache_folder

_CHECKPOINTS = "checkpoints"
EVENTS = "events.jsonl"
_WORTH_COMPILING = 150
"""Steps of a stage from which compiling its layers saves more time than it takes."""
PAD = 0
"""Any id will do for padding: no row attends to it and it is not taught."""


@dataclass(frozen=True)
class Trained:
    """What a stage reports: steps, useful tokens, seconds of training proper, and loss on held-out rows before and after."""

    steps: int
    tokens: int
    tokens_per_second: float
    held_out_before: float
    held_out_after: float


class PackedTrainer(SFTTrainer):
    """`SFTTrainer` over ready-made packed blocks; one block is one batch."""

    token_weights: Tensor | None = None

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        loss, count = taught_loss(model, inputs, self.token_weights)
        return loss / count


def taught_loss(model: Any, inputs: dict[str, Tensor], weights: Tensor | None = None) -> tuple[Tensor, float]:
    """Summed cross-entropy over the taught tokens of a packed block, and their number.

    With `weights` [vocabulary], each token counts by its weight in both.

    The output layer runs on taught positions only: a vocabulary of 49,152 makes it a fifth of the model's work.
    """
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = inner.model(
        input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], segments=inputs["segments"], use_cache=False
    ).last_hidden_state
    targets = inputs["labels"][0, 1:]
    taught = (targets != IGNORE).nonzero().flatten()
    # A multiple of 64 places, so that the output layer meets few shapes; the places added repeat the first and count for nothing.
    places = torch.nn.functional.pad(taught, (0, -len(taught) % 64), value=0)
    wanted = torch.nn.functional.pad(targets[taught], (0, len(places) - len(taught)), value=IGNORE)
    logits = inner.lm_head(hidden[0].index_select(0, places))
    loss: Tensor = CrossEntropy.apply(logits, wanted, weights)  # type: ignore[no-untyped-call]
    return loss, len(taught) if weights is None else float(weights[targets[taught]].sum())


def mean_loss(model: Any, rows: Sequence[Row], tokens: int) -> float:
    """Mean loss a taught token over rows, in nats; exp of it is the perplexity."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0.0
    # Layers that were compiled for training would be compiled once more for the few blocks measured here.
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        for block in pack([len(r.input_ids) for r in rows], tokens, seed=0):
            batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in block], tokens, PAD).items()}
            loss, number = taught_loss(model, batch)
            total, count = total + loss.item(), count + number
    model.train(was_training)
    return total / count


def load_model(base: Path, quantisation: str = "none", dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """A base model ready for packed training.

    Raises:
        TrainingError: NF4 without an NVIDIA GPU or without bitsandbytes.
    """
    options: dict[str, Any] = {}
    if quantisation == "nf4":
        if not torch.cuda.is_available():
            raise TrainingError(
                "training.quantisation is 'nf4', but this machine has no NVIDIA GPU that torch can use",
                "Set training.quantisation to none, or run on a GPU machine",
            )
        options = {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
            )
        }
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype, attn_implementation=ATTENTION, device_map="auto" if torch.cuda.is_available() else None, **options
        )
    except ImportError as error:
        raise TrainingError(f"the base cannot be loaded in {quantisation} ({error})", "Install bedside[gpu]") from error
    return model


def load_gguf(file: Path) -> PreTrainedModel:
    """The very weights of a GGUF file, unpacked, for measuring what quantisation did to them."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        attn_implementation=ATTENTION,
        quantization_config=GgufConfig(dequantize=True),
    )
    return model


def train_stage(
    *,
    base: Path,
    start: Path | None,
    rows: Sequence[Row],
    held_out: Sequence[Row],
    stage: Stage,
    training: Training,
    seed: int,
    out: Path,
    console: Console,
    intent_ids: Sequence[int] = (),
    code_ids: Sequence[int] = (),
) -> Trained:
    """Train one stage and write `adapter/`, `events.jsonl` and `curve.png` into `out`.

    Args:
        base: Hugging Face folder.
        start: adapter of the stage before; None starts a new one.
        rows: tokenised rows of this stage.
        held_out: rows of families that no stage trains on.
        intent_ids: tokens that stand for intents; they count `training.intent_weight` times.
        code_ids: tokens that stand for intents and slots; their rows of the vocabulary are learned with the adapter.
        out: taken up again when a killed run left checkpoints in it.

    Raises:
        TrainingError: there are fewer rows than one step needs, or the loss is no number.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = load_model(base, training.quantisation)
    adapted = (
        PeftModel.from_pretrained(model, start, is_trainable=True) if start else get_peft_model(model, _lora(training, model, code_ids))
    )
    if training.quantisation == "none" and not torch.cuda.is_available():
        use_fast_lora(adapted)
    lengths = [len(row.input_ids) for row in rows]
    blocks = [block for epoch in range(stage.epochs) for block in pack(lengths, training.tokens_per_step, seed=seed + epoch)]
    if len(blocks) >= _WORTH_COMPILING and training.tokens_per_step <= BANDED:
        compile_layers(adapted, console)
    progress = ProgressCallback(stage.name, out / EVENTS, console)

    def to_batch(items: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        block = items[0]["rows"]
        progress.tokens += sum(lengths[i] for i in block)
        return collate([rows[i] for i in block], training.tokens_per_step, PAD)

    checkpoints = out / _CHECKPOINTS
    resumed = any(checkpoints.glob("checkpoint-*/trainer_state.json"))
    before = mean_loss(adapted, held_out, training.tokens_per_step) if not resumed else math.nan
    trainer = PackedTrainer(
        model=adapted,
        args=_arguments(stage, training, checkpoints, len(blocks), seed),
        train_dataset=Dataset.from_list([{"rows": block, "labels": []} for block in blocks]),
        data_collator=to_batch,
        processing_class=load_tokenizer(base),
        callbacks=[progress],
    )
    for callback in ("PrinterCallback", "ProgressCallback", "RichProgressCallback"):
        for active in [c for c in trainer.callback_handler.callbacks if type(c).__name__ == callback and c is not progress]:
            trainer.remove_callback(active)
    trainer.token_weights = _token_weights(adapted, training.intent_weight, intent_ids)
    result = trainer.train(resume_from_checkpoint=resumed)
    if not math.isfinite(result.training_loss):
        raise TrainingError(
            f"stage {stage.name!r} ended with loss {result.training_loss}", f"Lower its learning_rate ({stage.learning_rate})"
        )
    after = mean_loss(adapted, held_out, training.tokens_per_step)
    adapted.save_pretrained(out / "adapter")
    plot_curve(out / EVENTS, out / "curve.png", title=stage.name)
    shutil.rmtree(checkpoints, ignore_errors=True)
    seconds = result.metrics["train_runtime"]
    return Trained(result.global_step, progress.tokens, round(progress.tokens / seconds, 1), round(before, 4), round(after, 4))


def compile_layers(model: PeftModel, console: Console) -> None:
    """Fuse the small steps of every layer by torch.compile (Ansel et al. 2024), where the processor trains and there is a compiler for it."""
    if torch.cuda.is_available() or not any(map(shutil.which, ("g++", "clang++"))):
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    console.print("  compiling the layers: about 20 s the first time", highlight=False)
    for layer in model.get_base_model().model.layers:
        layer.compile()


def _token_weights(model: Any, weight: float, ids: Sequence[int]) -> Tensor | None:
    if weight == 1 or not ids:
        return None
    weights = torch.ones(model.config.vocab_size, device=model.device)
    weights[list(ids)] = weight
    return weights


def _lora(training: Training, model: PreTrainedModel, code_ids: Sequence[int]) -> LoraConfig:
    adapter, codes = training.adapter, sorted(set(code_ids))
    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=["q_proj", "v_proj"] if adapter.targets == "q-v" else "all-linear",
        # Where input and output share one matrix, PEFT learns its rows once for both.
        trainable_token_indices=(codes if model.config.tie_word_embeddings else {"lm_head": codes}) if codes else None,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _arguments(stage: Stage, training: Training, folder: Path, steps: int, seed: int) -> SFTConfig:
    return SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        max_steps=steps,
        num_train_epochs=1,
        learning_rate=stage.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=max(1, steps // 20),
        weight_decay=training.weight_decay,
        optim="adamw_torch_fused",
        bf16=False,
        gradient_checkpointing=training.quantisation == "nf4",
        logging_steps=max(1, min(10, steps // 20)),
        save_strategy="steps",
        save_steps=max(25, steps // 8),
        save_total_limit=1,
        report_to="none",
        seed=seed,
        data_seed=seed,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="sequential",
        max_length=None,
    )
