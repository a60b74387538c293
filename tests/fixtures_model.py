"""Fixtures with a real model: the embedded base as GGUF, the chat contract that fits it, and an engine over both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedside.engine.contract import ChatContract, template_text
from bedside.engine.llamacpp import LlamaCppEngine

_CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bedside"


@pytest.fixture(scope="session")
def base_gguf() -> Path:
    """The embedded base model: the file that BEDSIDE_TEST_GGUF names, or the one that `bedside fetch` keeps in the repository's cache."""
    named = os.environ.get("BEDSIDE_TEST_GGUF")
    places = [Path(named)] if named else sorted(_CACHE.rglob("SmolLM2-135M-Instruct*.gguf"))
    for place in places:
        if place.is_file():
            return place
    reason = f"no base model at {named or _CACHE}: run make setup"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chatml_contract() -> ChatContract:
    """The contract of SmolLM2, without tasks."""
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
        max_length=1024,
        tokenizer_sha256="0" * 64,
        systems={},
    )


@pytest.fixture(scope="session")
def embedded(base_gguf: Path, chatml_contract: ChatContract) -> Iterator[LlamaCppEngine]:
    """The base model in this process, on one thread."""
    engine = LlamaCppEngine(base_gguf, chatml_contract, threads=1)
    yield engine
    engine.close()
