"""The last stages of a recipe: merge, convert, quantise, gates, evaluation, release.

A gate that fails ends the run with what differs; the folder `release` appears only when all of them passed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bedside.corpus.conversation import Conversation
from bedside.corpus.curate import TURNS
from bedside.engine.contract import ChatContract
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.engine.understanding import TASK
from bedside.errors import ReleaseError
from bedside.evaluation.evaluate import SHIPPED, ask_engine, ask_minilm, write_evaluation
from bedside.evaluation.scorers import Understood, micro_f1
from bedside.evaluation.suites import load_suite, suite_path
from bedside.recipe.models import Recipe
from bedside.release.gates import GateResult, check_greedy_parity, check_score_loss, check_token_parity
from bedside.release.gguf_writer import write_gguf
from bedside.release.merge import merge
from bedside.release.quantise import quantise
from bedside.workspace.files import read_jsonl
from bedside.workspace.run import StageResult

StageRunner = Callable[[str, Callable[[Path], Any], Any, dict[str, Path | str]], StageResult]
_PARALLEL = 4
_GREEDY_TOKENS = 24
_GREEDY_PROMPTS = 12


class Releasing:
    """Turns a base and an adapter into a release.

    Args:
        recipe: what ships.
        stage: runs or skips one stage of the run.
        corpus, base, adapters: the stages before.
        conversations: reads the corpus as (use, conversation) pairs of a split.
        console: where to show progress.
    """

    def __init__(self, recipe: Recipe, stage: StageRunner, corpus: StageResult, base: StageResult, adapters: Sequence[StageResult], conversations: Callable[[str], list[tuple[str, Conversation]]], console: Console) -> None:
        self.recipe, self.stage, self.corpus, self.base, self.adapters, self.console = recipe, stage, corpus, base, adapters, console
        self.contract = ChatContract.load(base.folder)
        self.conversations = conversations

    def all(self) -> Path:
        """Merge, candidate, evaluation, release; returns the release's folder."""
        merged = self.merge()
        candidate = self.candidate(merged)
        evaluation = self.evaluate(merged, candidate) if self.recipe.task == TASK and self.recipe.evaluation.suite else None
        return self.release(merged, candidate, evaluation)

    def merge(self) -> StageResult:
        """Fold the last adapter into the base, as a Hugging Face folder and as an F16 GGUF; gate: greedy answers stay equal."""
        adapter = self.adapters[-1].folder / "adapter"

        def work(out: Path) -> dict[str, Any]:
            shutil.rmtree(out / "model", ignore_errors=True)
            merge(self.base.folder, adapter, out / "model")
            gate = self._greedy_gate(adapter, out / "model")
            written = write_gguf(out / "model", self.contract, out / "f16.gguf", name=self.recipe.name)
            return {"gates": [gate.passed_line], "tensors": written.types}

        return self.stage("merge", work, {"golden": self.recipe.release.golden}, {"base": self.base.folder, "adapter": adapter})

    def _greedy_gate(self, adapter: Path, merged: Path) -> GateResult:
        from bedside.training.generate import greedy

        prompts = self._prompts()[:_GREEDY_PROMPTS]
        return check_greedy_parity(greedy(self.base.folder, adapter, self.contract, prompts, _GREEDY_TOKENS), greedy(merged, None, self.contract, prompts, _GREEDY_TOKENS), [c.messages[-2].content for c in self._golden()[:_GREEDY_PROMPTS]])
