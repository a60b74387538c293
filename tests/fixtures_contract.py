"""The chat contract of the embedded base's family, for models that are made by tests."""

from __future__ import annotations

from collections.abc import Mapping

from bedside.engine.contract import ChatContract, template_text


def chatml(max_length: int, tokenizer_sha256: str = "0" * 64, systems: Mapping[str, str] | None = None) -> ChatContract:
    """ChatML with the token ids of SmolLM2."""
    return ChatContract(
        template_name="chatml",
        template=template_text("chatml"),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        bos_id=1,
        eos_id=2,
        pad_id=2,
        stop_ids=(2,),
        adds_bos=False,
        max_length=max_length,
        tokenizer_sha256=tokenizer_sha256,
        systems=dict(systems or {}),
    )
