"""Greedy answers of the model in training form, to compare with what ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bedside.engine.contract import ChatContract
from bedside.training.base import load_tokenizer, token_ids


def greedy(model: Path, adapter: Path | None, contract: ChatContract, prompts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of the likeliest answer to each rendered prompt, in float32: bf16 ties would differ by chance.

    Args:
        model: Hugging Face folder.
        adapter: LoRA adapter over it, or None.
        prompts: rendered by the contract.
        max_tokens: of an answer.
    """
    tokenizer = load_tokenizer(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(loaded, adapter) if adapter else loaded
    loaded.eval()
    answers = []
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([token_ids(tokenizer, contract, prompt)], device=loaded.device)
            made = loaded.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False, eos_token_id=list(contract.stop_ids), pad_token_id=contract.pad_id)
            answers.append(made[0, ids.shape[1] :].tolist())
    return answers
