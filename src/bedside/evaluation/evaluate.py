"""Evaluation: every system answers the same turns, the shipped file through the engine that serves it.

Writes into a folder: `scores.json` (all numbers), `samples-SYSTEM.jsonl` (every answer) and `report.html` (to look at).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import track

from bedside.engine import Engine, classify
from bedside.engine.understanding import MAX_TOKENS, emergency_flags, with_emergency
from bedside.evaluation.baseline import MiniLMBaseline
from bedside.evaluation.report import write_report
from bedside.evaluation.scorers import Understood, data_counts
from bedside.evaluation.scores import RunFacts, compare_systems, score_system, to_json
from bedside.evaluation.statistics import Interval
from bedside.evaluation.suites import Turn
from bedside.workspace.files import write_json, write_jsonl

SHIPPED = "shipped"


def ask_engine(
    engine: Engine,
    turns: Sequence[Turn],
    *,
    label: str,
    console: Console,
    parallel: int = 1,
    max_tokens: int = MAX_TOKENS,
    constrained: bool = True,
) -> list[Understood]:
    """Let an engine understand every turn.

    Args:
        max_tokens: of an answer.
        constrained: see `classify`.
        parallel: turns asked at a time; only 1 measures the latency a caller would feel.
    """

    def one(turn: Turn) -> Understood:
        understanding = classify(engine, turn.text, max_tokens=max_tokens, constrained=constrained)
        return Understood(
            id=turn.id,
            gold_intents=turn.intents,
            predicted_intents=frozenset(intent.name for intent in understanding.intents),
            probabilities=understanding.probabilities | {intent.name: intent.p for intent in understanding.intents},
            gold_slots=turn.slots,
            predicted_slots=understanding.slots,
            entropy=understanding.entropy,
            seconds=understanding.seconds,
        )

    classify(engine, "hello")  # fills the cache of the system message, as a running line has it
    with ThreadPoolExecutor(parallel) as pool:
        return list(track(pool.map(one, turns), description=label, total=len(turns), console=console, disable=not console.is_terminal))


def ask_minilm(training: Sequence[tuple[str, Sequence[str], str]], turns: Sequence[Turn]) -> tuple[list[Understood], float]:
    """Fit the plain alternative on the same training turns and let it answer, behind the same red-flag rules.

    Args:
        training: (text, intents, family) of each turn.

    Returns:
        Its answers, and the seconds that fitting took.
    """
    start = perf_counter()
    baseline = MiniLMBaseline().fit(
        [text for text, _, _ in training], [intents for _, intents, _ in training], [family for _, _, family in training]
    )
    fitted = perf_counter() - start
    answers = []
    for turn in turns:
        start = perf_counter()
        found = baseline.predict([turn.text])[0]
        if emergency_flags(turn.text):
            found = {name: found.get(name, 1.0) for name in with_emergency(list(found))}
        answers.append(
            Understood(
                id=turn.id,
                gold_intents=turn.intents,
                predicted_intents=frozenset(found),
                probabilities=found,
                gold_slots=turn.slots,
                predicted_slots={},
                entropy=0.0,
                seconds=perf_counter() - start,
            )
        )
    return answers, fitted


def write_evaluation(
    folder: Path,
    title: str,
    answers: Mapping[str, Sequence[Understood]],
    turns: Sequence[Turn],
    *,
    shipped: str,
    extra: Mapping[str, Mapping[str, float]],
    hashes: Mapping[str, str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Score all systems and write the evaluation.

    Args:
        answers: by system.
        shipped: the system that the release serves.
        extra: further single numbers by system, such as `perplexity`; shown without an interval.
        hashes: of model and contract, for the report's foot.

    Returns:
        What `scores.json` holds.
    """
    texts = {turn.id: turn.text for turn in turns}
    systems = {}
    for name, samples in answers.items():
        scores = score_system(samples, texts, resamples=resamples, seed=seed)
        single = {metric: Interval(value, value, value) for metric, value in extra.get(name, {}).items()}
        systems[name] = replace(scores, metrics={**scores.metrics, **single})
        write_jsonl(folder / f"samples-{name}.jsonl", [{"text": texts[s.id], **_plain(s)} for s in samples])
    differences = compare_systems(answers, shipped, resamples=resamples, seed=seed)
    facts = RunFacts.now(seed=seed, hashes=dict(hashes))
    counts = data_counts(answers[shipped])
    report: dict[str, Any] = to_json(
        {"title": title, "shipped": shipped, "counts": counts, "systems": systems, "differences": differences, "facts": facts}
    )
    write_json(folder / "scores.json", report)
    write_report(folder / "report.html", title, systems, shipped=shipped, differences=differences, counts=counts, facts=facts)
    return report


def _plain(sample: Understood) -> dict[str, Any]:
    row = asdict(sample)
    return {key: sorted(value) if isinstance(value, frozenset) else value for key, value in row.items()} | {"right": sample.right}
