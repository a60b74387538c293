"""Evaluation suites of caller turns: what people might say, with the gold understanding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bedside.engine.understanding import normalise
from bedside.errors import SourceError
from bedside.knowledge.intents import catalogue


@dataclass(frozen=True)
class Turn:
    """One turn of a suite.

    Attributes:
        id: unique in the suite.
        text: as a caller says it.
        intents: gold; empty when it asks for nothing a clinic does.
        slots: gold; slot name → words of the text.
    """

    id: str
    text: str
    intents: frozenset[str]
    slots: dict[str, str]


def suite_path(name: str) -> Path:
    """The file of a built-in suite, or `name` itself when it is a path.

    Raises:
        SourceError: there is neither.
    """
    built_in = files("bedside.evaluation").joinpath("suites", f"{name}.jsonl")
    path = Path(name) if "/" in name or name.endswith(".jsonl") else Path(str(built_in))
    if not path.is_file():
        known = ", ".join(sorted(p.name.removesuffix(".jsonl") for p in files("bedside.evaluation").joinpath("suites").iterdir()))
        raise SourceError(
            f"there is no evaluation suite {name!r}", f"Use one of {known}, or the path of a JSONL file with id, text, intents and slots"
        )
    return path


def load_suite(name: str) -> list[Turn]:
    """Read and check a suite.

    Raises:
        SourceError: it does not exist, is empty, or a line is wrong (the line is named).
    """
    path, known = suite_path(name), {kind.id for kind in catalogue().intents}
    turns: list[Turn] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            turn = Turn(str(row["id"]), str(row["text"]), frozenset(row["intents"]), dict(row.get("slots", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{path.name} line {number} is no turn ({type(error).__name__}: {error})",
                "Each line needs id, text and intents, and may have slots",
            ) from error
        if turn.intents - known:
            raise SourceError(
                f"{path.name} line {number} has unknown intents {', '.join(sorted(turn.intents - known))}",
                "Use the ids of `bedside intents`",
            )
        turns.append(turn)
    if not turns:
        raise SourceError(f"{path.name} holds no turn", "Write at least one line")
    return turns


def suite_texts(name: str) -> frozenset[str]:
    """The suite's texts as the model sees them: what no training record may hold."""
    return frozenset(normalise(turn.text) for turn in load_suite(name))
