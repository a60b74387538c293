"""The last stages of a recipe: merge, evaluation, release.

A gate that fails ends the run with what differs; the folder `release` appears only when all of them passed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import exp
from pathlib import Path
from typing import Any

from rich.console import Console

from bedside.corpus.conversation import Conversation
from bedside.corpus.curriculum import read_conversations, taught_turns
from bedside.engine.contract import ChatContract
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.engine.understanding import MAX_TOKENS, TASK
from bedside.errors import ReleaseError
from bedside.evaluation.evaluate import SHIPPED, ask_engine, ask_minilm, write_evaluation
from bedside.evaluation.suites import load_suite, suite_path
from bedside.recipe.models import Purpose, Recipe
from bedside.release import (
    Evaluation,
    GateResult,
    build_release,
    check_greedy_parity,
    check_score_loss,
    key_pair,
    merge,
    quantise,
    sign_release,
    verify_release,
    write_gguf,
)
from bedside.workspace.files import sha256_file, write_json
from bedside.workspace.run import StageResult

StageRunner = Callable[[str, Callable[[Path], Any], Any, dict[str, Path | str]], StageResult]
HEADLINE = "micro_f1"
_PARALLEL = 4
# The untuned base does not know the code words: held to the grammar it needs
# half a second a token. Its first words are enough to see that.
_BASE_TOKENS = 4
_GREEDY_TOKENS = 24
_GREEDY_PROMPTS = 12


USAGE: dict[Purpose, str] = {
    "callers": 'bedside understand --release {release} "can I get in with Dr Nguyen this arvo"',
    "reports": "bedside report REPORT --patient RECORD --release {release}",
    "questions": 'bedside ask --release {release} "your question"',
}
"""The command that tries a release."""
_LIMITS: dict[Purpose, list[str]] = {
    "callers": [
        "It reads what callers say; it does not decide what is urgent. Rules that run without a model do that.",
        "Synthetic training turns; Australian English first.",
    ],
    "reports": [
        "It words summaries of reports for clinicians; findings, notes and urgency come from rules that run without a model.",
        "Every sentence of it is checked back against findings and notes, and left out where they do not bear it out.",
        "Invented training reports; no clinician has reviewed them.",
    ],
    "questions": ["It answers from what it was taught; it does not diagnose, dose or decide what is urgent.", "Australian English first."],
}


class Releasing:
    """Turns a base and its adapters into a release.

    Args:
        recipe: what ships.
        stage: runs or skips one stage of the run.
        corpus, base, adapters: the stages before.
        folder: of the run.
        console: where to show progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        stage: StageRunner,
        corpus: StageResult,
        base: StageResult,
        adapters: Sequence[StageResult],
        folder: Path,
        console: Console,
    ) -> None:
        self.folder = folder
        self.recipe, self.stage, self.corpus, self.base, self.adapters = recipe, stage, corpus, base, adapters
        self.console = console
        self.contract = ChatContract.load(base.folder)

    def all(self) -> Path:
        """Merge, evaluation, release; returns the release's folder."""
        merged = self.merge()
        evaluation = self.evaluate(merged) if self.recipe.task == TASK and self.recipe.evaluation.suite else None
        return self.release(merged, evaluation)

    def merge(self) -> StageResult:
        """Fold the adapter into the base, as a Hugging Face folder and as F16 GGUF. Gate: greedy answers are equal before and after."""
        adapter = self.adapters[-1].folder / "adapter"

        def work(out: Path) -> dict[str, Any]:
            from bedside.training.base import load_tokenizer, token_ids
            from bedside.training.generate import Greedy

            for leftover in (out / "model", out / "f16.gguf"):
                shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
            merge(self.base.folder, adapter, out / "model")
            tokenizer = load_tokenizer(self.base.folder)
            prompts = [
                token_ids(tokenizer, self.contract, self.contract.render(golden[:-1])) for golden in self._golden()[:_GREEDY_PROMPTS]
            ]
            before = Greedy(self.base.folder, adapter, self.contract, _GREEDY_TOKENS)
            after = Greedy(out / "model", None, self.contract, _GREEDY_TOKENS)
            gate = check_greedy_parity(before, after, prompts)
            write_gguf(out / "model", self.contract, out / "f16.gguf", name=self.recipe.name)
            return {"gates": [asdict(gate)]}

        return self.stage(
            "merge", work, {"prompts": _GREEDY_PROMPTS}, {"base": self.base.folder, "adapter": adapter, "corpus": self.corpus.folder}
        )

    def _conversations(self, split: str) -> list[tuple[str, Conversation]]:
        return read_conversations(self.corpus.folder, self.contract, split)

    def _golden(self) -> list[list[dict[str, str]]]:
        """The last of the held-out conversations: what token ids and greedy answers are compared on."""
        held_out = self._conversations("held_out") or self._conversations("train")
        return [[m.model_dump() for m in c.messages] for _, c in held_out if c.messages[-1].role == "assistant"][
            -self.recipe.release.golden :
        ]

    def evaluate(self, merged: StageResult) -> StageResult:
        """Base, merged, quantised and MiniLM on the same turns. Gate: quantisation costs no more than its allowed score."""
        settings, suite, kind = self.recipe.evaluation, self.recipe.evaluation.suite, self.recipe.release.quantisation
        assert suite is not None

        def work(out: Path) -> dict[str, Any]:
            turns = load_suite(suite)
            quantise(merged.folder / "f16.gguf", out / "model.gguf", kind)
            models = {SHIPPED: out / "model.gguf", "merged": merged.folder / "f16.gguf"}
            if settings.compare_base:
                models["base"] = self._base_gguf(out, kind)
            answers = {}
            for name, model in models.items():
                parallel = 1 if name == SHIPPED else _PARALLEL
                engine = LlamaCppEngine(model, self.contract, parallel=parallel)
                self.console.print(f"  asking {name}: {len(turns)} turns", highlight=False)
                answers[name] = ask_engine(
                    engine,
                    turns,
                    label=name,
                    console=self.console,
                    parallel=parallel,
                    max_tokens=_BASE_TOKENS if name == "base" else MAX_TOKENS,
                    constrained=name != "base",
                )
                engine.close()
            extra = self._perplexities(models)
            hashes = {"model.gguf": sha256_file(models[SHIPPED]), "contract": self.contract.hash, "suite": sha256_file(suite_path(suite))}
            facts: dict[str, Any] = {"model": hashes["model.gguf"]}
            if settings.compare_minilm:
                self.console.print("  fitting MiniLM on the same training turns", highlight=False)
                answers["minilm"], facts["minilm_fit_seconds"] = ask_minilm(
                    taught_turns(self.recipe, self.corpus.folder, self.contract), turns
                )
            for model in (out / "model.gguf", out / "base.gguf"):
                model.unlink(missing_ok=True)
            title = f"{self.recipe.name} on {suite}"
            report = write_evaluation(
                out, title, answers, turns, shipped=SHIPPED, extra=extra, hashes=hashes, resamples=settings.resamples, seed=self.recipe.seed
            )
            scores = {
                name: {metric: interval["value"] for metric, interval in system["metrics"].items()}
                for name, system in report["systems"].items()
            }
            gate = check_score_loss(scores["merged"][HEADLINE], scores[SHIPPED][HEADLINE], self.recipe.release.max_score_loss)
            return {**facts, "scores": scores, "latency": report["systems"][SHIPPED]["latency"], "gates": [asdict(gate)]}

        reads: dict[str, Path | str] = {
            "merged": merged.folder,
            "corpus": self.corpus.folder,
            "base": self.base.folder,
            "suite": suite_path(suite),
        }
        return self.stage(
            "evaluate",
            work,
            {"evaluation": settings.model_dump(mode="json"), "release": self.recipe.release.model_dump(mode="json")},
            reads,
        )

    def _base_gguf(self, out: Path, kind: str) -> Path:
        """The untuned base in the form it would ship in."""
        write_gguf(self.base.folder, self.contract, out / "base-f16.gguf", name="base")
        quantise(out / "base-f16.gguf", out / "base.gguf", kind)
        (out / "base-f16.gguf").unlink()
        return out / "base.gguf"

    def _perplexities(self, models: dict[str, Path]) -> dict[str, dict[str, float]]:
        """Perplexity on held-out answers, of the very weights in each GGUF file."""
        from bedside.training.base import load_tokenizer
        from bedside.training.rows import make_rows
        from bedside.training.train import load_gguf, mean_loss
        from bedside.workspace.ledger import DropLedger

        tokenizer = load_tokenizer(self.base.folder)
        held_out = [c for use, c in self._conversations("held_out") if use != "sources"][:150]
        rows = make_rows(held_out, self.contract, tokenizer, DropLedger(), max_long_share=1)
        return {
            name: {"perplexity": exp(mean_loss(load_gguf(model), rows, self.recipe.training.tokens_per_step))}
            for name, model in models.items()
        }

    def release(self, merged: StageResult, evaluation: StageResult | None) -> Path:
        """Build the folder that ships: model, contract, Modelfile, card, scores, bill of materials, manifest, signature. Gate: token ids of the embedded engine are those of training."""
        folder = self.folder / "release"

        def work(out: Path) -> dict[str, Any]:
            from bedside.training.base import load_tokenizer, token_ids

            tokenizer = load_tokenizer(merged.folder / "model")
            extras = (
                {"evaluation.html": evaluation.folder / "report.html", "scores.json": evaluation.folder / "scores.json"}
                if evaluation
                else {}
            )
            built = build_release(
                merged=merged.folder / "model",
                contract=self.contract,
                out=folder,
                kind=self.recipe.release.quantisation,
                name=self.recipe.name,
                golden=self._golden(),
                tokenizer=lambda text: token_ids(tokenizer, self.contract, text),
                card_facts=self._card(evaluation),
                gates=[GateResult(**gate) for result in (merged, evaluation) if result for gate in result.facts["gates"]],
                evaluate=(lambda model: _same_file(model, evaluation.facts["model"])) if evaluation else None,
                temperature=0.0 if self.recipe.task == TASK else None,
                extras={name: path.read_bytes() for name, path in extras.items()},
            )
            write_json(out / "published.json", {"manifest": sha256_file(folder / "manifest.json")})
            return built.manifest.files["model.gguf"].model_dump()

        published, manifest = self.folder / "publish" / "published.json", folder / "manifest.json"
        if not (published.is_file() and manifest.is_file() and json.loads(published.read_text())["manifest"] == sha256_file(manifest)):
            shutil.rmtree(published.parent, ignore_errors=True)
        reads: dict[str, Path | str] = {
            "merged": merged.folder,
            "corpus": self.corpus.folder,
            **({"evaluation": evaluation.folder} if evaluation else {}),
        }
        self.stage("publish", work, self.recipe.model_dump(mode="json"), reads)
        self._sign(folder)
        return folder

    def _sign(self, folder: Path) -> None:
        """Check the release, and sign it where the owner has a key."""
        private = key_pair().private
        if private.is_file():
            self.console.print(f"  signed with key {sign_release(folder, private)[:16]}", highlight=False)
        else:
            verify_release(folder)
            self.console.print(f"  not signed: `bedside release key` makes a key, `bedside release sign {folder}` signs", highlight=False)

    def _card(self, evaluation: StageResult | None) -> dict[str, Any]:
        recipe, corpus = self.recipe, self.corpus.facts
        records: dict[str, int] = {}
        for name, number in corpus["records"].items():
            source, *_, split = name.split("/")
            records[source] = records.get(source, 0) + (number if split == "train" else 0)
        licences = {"synthesis": "Apache-2.0", **corpus["licences"]}
        scores: dict[str, dict[str, float]] = {}
        for system, metrics in (evaluation.facts["scores"] if evaluation else {}).items():
            for metric, value in metrics.items():
                if value is not None:
                    scores.setdefault(metric, {})[system] = round(value, 3)
        if evaluation:
            scores["latency, 95th percentile, ms"] = {SHIPPED: round(evaluation.facts["latency"]["p95"] * 1000)}
        adapter, training = recipe.training.adapter, recipe.training
        settings: dict[str, str | int | float | bool] = {
            "adapter": f"LoRA, rank {adapter.r}, alpha {adapter.alpha}, dropout {adapter.dropout:g}, {adapter.targets}",
            "base precision": "bf16" if training.quantisation == "none" else training.quantisation,
            "longest row": training.max_length,
            "seed": recipe.seed,
            **{
                f"stage {s.name}": f"{r.facts['rows']} rows, {r.facts['steps']} steps, learning rate {s.learning_rate:g}, held-out loss {r.facts['held_out_before']:.3f} → {r.facts['held_out_after']:.3f}"
                for s, r in zip(training.stages, self.adapters, strict=True)
            },
        }
        return {
            "base_model": recipe.base.source,
            "base_licence": recipe.base.licence,
            "licence": recipe.base.licence,
            "summary": recipe.description,
            "sources": [{"name": n, "records": r, "licence": licences.get(n, "unknown")} for n, r in records.items()],
            "training": settings,
            "scores": scores,
            "limits": _LIMITS[recipe.purpose],
            "usage": USAGE[recipe.purpose].format(release="."),
        }


def _same_file(model: Path, measured: str) -> Evaluation:
    """The gate that nothing but the measured file ships."""
    found = sha256_file(model)
    if found != measured:
        raise ReleaseError(f"the file to ship ({found[:12]}) is not the one that was measured ({measured[:12]})", "Run `bedside run` again")
    return Evaluation()
