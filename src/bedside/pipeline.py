"""The whole way of a recipe: base → corpus → training stages → merge → release with gates → evaluation.

Each step is a stage of a `Run`: skipped when nothing it reads has changed, taken up again after a kill.

    runs/NAME/
        corpus/            curated conversations and turns, ledger
        base/              the base model as training needs it, and the chat contract
        train-STAGE/       adapter, learning curve, events; one folder a stage of the curriculum
        merge/             base and adapters as one model
        evaluate/          scores, samples and report of base, merged, quantised model and MiniLM
        release/           what ships, once every gate is passed; `publish/` records what it was made of
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from glob import escape
from pathlib import Path
from typing import Any

from rich.console import Console

from bedside.corpus.curate import curate, source_path
from bedside.corpus.curriculum import choose, read_conversations
from bedside.engine.contract import ChatContract
from bedside.engine.understanding import TASK
from bedside.evaluation.suites import suite_path, suite_texts
from bedside.offline import quiet_libraries, stay_offline
from bedside.recipe.models import Recipe, Stage
from bedside.workspace.fetch import cached
from bedside.workspace.files import sha256_file, sha256_json, sha256_path
from bedside.workspace.ledger import DropLedger
from bedside.workspace.run import Run, StageResult

_HELD_OUT = 80
"""Held-out conversations whose loss is taken before and after a stage: enough for its second digit, and a few seconds."""

_REPORT_READERS = ("diagnostics", "invented_reports")
_REPORT_DATA = ("reports", "corpus/pairs", "knowledge")
"""Folders of this package whose data files decide which pairs a report gives."""


class Pipeline:
    """Runs a recipe in a run folder.

    Args:
        recipe: what to do.
        recipe_folder: where its relative paths start.
        run: where its stages lie.
        console: where to show progress.
    """

    def __init__(self, recipe: Recipe, recipe_folder: Path, run: Run, console: Console) -> None:
        self.recipe, self.folder, self.run, self.console = recipe, recipe_folder, run, console
        stay_offline()
        quiet_libraries()

    def all(self) -> Path:
        """Everything, to a verified release; returns its folder.

        Raises:
            BedsideError: what is wrong and what to do; nothing unfinished looks whole.
        """
        # The base comes first: one that was not fetched or was changed is told before minutes of curation.
        base = self.base()
        corpus = self.curate()
        adapters = self.train(corpus, base)
        return self.release(corpus, base, adapters)

    def curate(self) -> StageResult:
        """The corpus stage."""
        recipe = self.recipe
        paths = {f"source {s.name}": source_path(s, self.folder) for s in recipe.corpus.sources}
        reads: dict[str, Path | str] = {name: path if path.exists() else "absent" for name, path in paths.items()}
        for part in ("grammar.py", "callers", "lexicon", "style.yaml", "asr.yaml"):
            reads[f"synthesis {part}"] = sha256_path(Path(__file__).parent / "corpus" / "synthesis" / part)
        for part in ("standardise.yaml", "units.yaml", "unsafe.yaml"):
            reads[part] = Path(__file__).parent / "corpus" / part
        reads |= _reads_for_reports({s.name: paths[f"source {s.name}"] for s in recipe.corpus.sources if s.reader in _REPORT_READERS})
        named = [recipe.evaluation.suite] if recipe.task == TASK and recipe.evaluation.suite else []
        reads |= {f"suite {name}": suite_path(name) for name in named}
        if recipe.corpus.synthesis and recipe.corpus.synthesis.folder:
            reads["practice's synthesis data"] = (self.folder / recipe.corpus.synthesis.folder).resolve()
        suites = {Path(name).stem: suite_texts(name) for name in named}
        settings = {
            "corpus": recipe.corpus.model_dump(mode="json", exclude={"processes"}),
            "commercial": recipe.release.commercial,
            "seed": recipe.seed,
        }
        today = date.today()
        return self._stage("corpus", lambda out: curate(recipe, self.folder, suites, out, self.console, day=today), settings, reads)

    def base(self) -> StageResult:
        """The base model as a training folder with its chat contract."""
        from bedside.training.base import import_base, make_contract

        source = cached(self.recipe.base)

        def work(out: Path) -> dict[str, Any]:
            facts = import_base(source, out)
            contract = make_contract(self.recipe, out)
            contract.save(out)
            return {**facts, "contract": contract.hash}

        settings = {
            "base": self.recipe.base.model_dump(mode="json"),
            "task": self.recipe.task,
            "max_length": self.recipe.training.max_length,
        }
        return self._stage(
            "base", work, settings, {"base model": source, "catalogue": sha256_path(Path(__file__).parent / "knowledge" / "intents.yaml")}
        )

    def train(self, corpus: StageResult, base: StageResult) -> list[StageResult]:
        """All stages of the curriculum, each from the adapter of the one before."""
        results: list[StageResult] = []
        before: list[Stage] = []
        for stage in self.recipe.training.stages:
            start = results[-1].folder / "adapter" if results else None
            reads: dict[str, Path | str] = {"corpus": corpus.folder, "base": base.folder, **({"adapter": start} if start else {})}
            settings = {
                "stage": stage.model_dump(mode="json"),
                "training": self.recipe.training.model_dump(mode="json", exclude={"stages"}),
                "seed": self.recipe.seed,
            }
            results.append(self._stage(f"train-{stage.name}", self._training(stage, tuple(before), corpus, base, start), settings, reads))
            before.append(stage)
        return results

    def _training(
        self, stage: Stage, before: Sequence[Stage], corpus: StageResult, base: StageResult, start: Path | None
    ) -> Callable[[Path], dict[str, Any]]:
        def work(out: Path) -> dict[str, Any]:
            from bedside.training.base import load_tokenizer
            from bedside.training.rows import make_rows
            from bedside.training.train import train_stage

            contract, tokenizer, ledger = ChatContract.load(base.folder), load_tokenizer(base.folder), DropLedger()
            taught = choose(stage, before, read_conversations(corpus.folder, contract, "train"), self.recipe.seed)
            held_out = [
                c for use, c in read_conversations(corpus.folder, contract, "held_out") if (use == "sources") == (stage.use == "sources")
            ]
            limit = self.recipe.training.max_long_share
            rows = make_rows(taught, contract, tokenizer, ledger, max_long_share=limit)
            held = make_rows(held_out[:_HELD_OUT], contract, tokenizer, ledger, max_long_share=limit)
            ledger.write(out / "ledger.jsonl")
            codebook = contract.codebook
            intent_ids = [code.token for code in (*codebook.intents.values(), codebook.none)] if codebook else []
            slot_ids = [code.token for code in codebook.slots.values()] if codebook else []
            result = train_stage(
                base=base.folder,
                start=start,
                rows=rows,
                held_out=held,
                stage=stage,
                training=self.recipe.training,
                seed=self.recipe.seed,
                out=out,
                intent_ids=intent_ids,
                code_ids=[*intent_ids, *slot_ids],
                console=self.console,
            )
            return {"rows": len(rows), "dropped": ledger.counts(), **asdict(result)}

        return work

    def release(self, corpus: StageResult, base: StageResult, adapters: Sequence[StageResult]) -> Path:
        """Merge, convert, quantise, check every gate, evaluate; only then the folder `release` appears."""
        from bedside.releasing import Releasing

        return Releasing(self.recipe, self._stage, corpus, base, adapters, self.run.folder, self.console).all()

    def _stage(self, name: str, work: Callable[[Path], Any], settings: Any, reads: dict[str, Path | str]) -> StageResult:
        self.console.print(f"[bold]{name}[/bold] …", highlight=False)
        result = self.run.stage(name, work, settings=settings, reads=reads)
        self.console.print(
            f"  {'unchanged, kept' if result.skipped else 'done'} ({result.seconds:.1f} s){_summary(result.facts)}", highlight=False
        )
        return result


def _reads_for_reports(sources: Mapping[str, Path]) -> dict[str, Path | str]:
    """What pairs of reports are made of besides the sources: the data of this package, and the files that lie beside a single report."""
    package = Path(__file__).parent
    data = {f"data of {folder}": _sha256_data(package / folder) for folder in _REPORT_DATA} if sources else {}
    beside = {
        f"source {name}: {file.name}": file
        for name, path in sources.items()
        if path.is_file()
        for file in path.parent.glob(f"{escape(path.stem)}.*")
        if file.is_file()
    }
    return data | beside


def _sha256_data(folder: Path) -> str:
    files = (file for file in folder.rglob("*") if file.suffix in (".yaml", ".csv", ".txt"))
    return sha256_json({file.relative_to(folder).as_posix(): sha256_file(file) for file in files})


def _summary(facts: dict[str, Any]) -> str:
    shown = {k: v for k, v in facts.items() if isinstance(v, (int, float, str)) and k not in {"contract"}}
    return "".join(f"\n  {key.replace('_', ' ')}: {value}" for key, value in shown.items())
