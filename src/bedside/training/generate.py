"""Greedy answers of the model in training form, to compare with what ships."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bedside.engine.contract import ChatContract


class Greedy:
    """Continues token ids with the likeliest ones, in float32: bf16 ties would differ by chance.

    Args:
        model: Hugging Face folder.
        adapter: LoRA adapter over it, or None.
        contract: says where to stop.
        max_tokens: of an answer.
    """

    def __init__(self, model: Path, adapter: Path | None, contract: ChatContract, max_tokens: int) -> None:
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self._model = (PeftModel.from_pretrained(loaded, adapter) if adapter else loaded).eval()
        self._contract, self._max_tokens = contract, max_tokens

    def __call__(self, prompt: list[int]) -> list[int]:
        """The answer's token ids, the stop token included."""
        ids = torch.tensor([prompt], device=self._model.device)
        with torch.inference_mode():
            made = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self._max_tokens,
                do_sample=False,
                eos_token_id=list(self._contract.stop_ids),
                pad_token_id=self._contract.pad_id,
            )
        answer: list[int] = made[0, ids.shape[1] :].tolist()
        return answer
