"""Fixtures with a real model: the embedded base as GGUF, the chat contract that fits it, and an engine over both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bedside.engine.contract import ChatContract
from bedside.engine.llamacpp import LlamaCppEngine
from fixtures_contract import chatml

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
    return chatml(1024)


@pytest.fixture(scope="session")
def embedded(base_gguf: Path, chatml_contract: ChatContract) -> Iterator[LlamaCppEngine]:
    """The base model in this process, on one thread."""
    engine = LlamaCppEngine(base_gguf, chatml_contract, threads=1)
    yield engine
    engine.close()
