"""Synthetic caller turns of a recipe: from the grammar and from an endpoint, split by wording family and freed of the evaluation suites."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.decontaminate import Decontaminator, decontaminate
from bedside.corpus.duplicates import best_first, find_twins, sketch
from bedside.corpus.progress import Progress
from bedside.corpus.split import draw
from bedside.corpus.synthesis.endpoint import SOURCE as ENDPOINT
from bedside.corpus.synthesis.endpoint import EndpointSettings, generate
from bedside.corpus.synthesis.grammar import CallerGrammar, Template, Turn, turns
from bedside.engine.understanding import normalise
from bedside.errors import SourceError
from bedside.recipe.models import Endpoint, Recipe, Synthesis
from bedside.workspace.ledger import DropLedger

SOURCE = STAGE = "synthesis"
Row = dict[str, Any]
"""A turn: `text`, `intents`, `slots`, `families`, the `use` that a training stage names, and its `split`."""


def made_turns(recipe: Recipe, folder: Path, decontaminator: Decontaminator, ledger: DropLedger, console: Console) -> list[Row]:
    """Turns from the grammar: no two with the same words, none in a suite, and no held-out one near a taught one.

    Args:
        folder: of the recipe, where a practice's own templates are looked for.

    Raises:
        SourceError: the practice's folder does not exist, or a file in it is wrong.
    """
    settings = recipe.corpus.synthesis
    if settings is None:
        return []
    rows = _different(_drawn(settings, folder, recipe.seed), ledger)
    return _apart(_clean(rows, SOURCE, decontaminator, ledger, console), recipe.corpus.near_duplicate, ledger)


def asked_turns(
    endpoint: Endpoint,
    seed: int,
    existing: Collection[str],
    out: Path,
    decontaminator: Decontaminator,
    ledger: DropLedger,
    console: Console,
) -> list[Row]:
    """Turns from an endpoint, checked item by item; resumed where a killed run left them in `out`.

    Args:
        existing: turns and texts that must not be repeated.

    Raises:
        EngineError: the endpoint cannot be asked.
    """
    settings = EndpointSettings(**endpoint.model_dump(), seed=seed)
    rows = []
    for conversation in generate(settings, ledger=ledger, existing=existing, out=out, progress=console.print):
        gold = conversation.labels["understanding"]
        text, family = conversation.messages[0].content, conversation.provenance.family
        rows.append(_row(Turn(text, tuple(gold["intents"]), tuple(map(tuple, gold["slots"])), (family,)), "multi_intent", "train"))
    return _clean(rows, ENDPOINT, decontaminator, ledger, console)


def _drawn(settings: Synthesis, folder: Path, seed: int) -> Iterator[Row]:
    own = (folder / settings.folder).resolve() if settings.folder else None
    if own is not None and not own.is_dir():
        raise SourceError(
            f"corpus.synthesis.folder {str(own)!r} does not exist",
            "Correct the path, or remove the key to use the built-in templates alone",
        )
    grammar = CallerGrammar(own)
    train = [t for t in grammar.templates if draw(t.family) >= settings.held_out]
    held_out = [t for t in grammar.templates if draw(t.family) < settings.held_out]
    single = [t for t in train if len(t.intents) <= 1]
    plans: list[tuple[str, str, list[Template], int, float]] = [
        ("single_intent", "train", single, settings.turns, 0.0),
        ("multi_intent", "train", train, settings.turns, settings.multi_share),
        ("multi_intent", "held_out", held_out, settings.held_out_turns, settings.multi_share),
    ]
    for number, (use, split, templates, count, multi_share) in enumerate(plans):
        for turn in turns(grammar, count=count, multi_share=multi_share, seed=seed + number, templates=templates):
            yield _row(turn, use, split)


def _different(rows: Iterable[Row], ledger: DropLedger) -> Iterator[Row]:
    """The rows whose words no row before had."""
    known: set[str] = set()
    for row in rows:
        ledger.saw(SOURCE)
        text = normalise(row["text"])
        if text in known:
            ledger.add(STAGE, "dropped", "duplicate", source=SOURCE, where=_where(row))
        else:
            known.add(text)
            yield row


def _clean(rows: Iterable[Row], source: str, decontaminator: Decontaminator, ledger: DropLedger, console: Console) -> list[Row]:
    """The rows that hold nothing of a suite."""
    held = list(rows)
    progress = Progress(console, "compared with the suites", len(held))
    conversations = (
        Conversation(
            messages=(Message(role="user", content=row["text"]),),
            provenance=Provenance(source=source, where=_where(row), family=str(number)),
        )
        for number, row in enumerate(held)
    )
    return [
        held[int(conversation.provenance.family)] for conversation in decontaminate(conversations, decontaminator, ledger, progress.add)
    ]


def _apart(rows: list[Row], near: float, ledger: DropLedger) -> list[Row]:
    """The rows without held-out ones that are near a taught one: they would measure what was taught."""
    later = np.array([row["split"] == "held_out" for row in rows], dtype=np.int64)
    sketches = sketch([(row["text"], "") for row in rows])
    twins = find_twins(sketches, best_first(later, sketches.length), near)
    pairs = [(int(twins.of[number]), int(number)) for number in np.flatnonzero(twins.of >= 0)] + twins.kin
    straddling = {number: twin for twin, number in pairs if later[number] and not later[twin]}
    for number, twin in straddling.items():
        ledger.add(STAGE, "dropped", "near_taught", source=SOURCE, where=_where(rows[number]), detail=f"near one of {_where(rows[twin])}")
    return [row for number, row in enumerate(rows) if number not in straddling]


def _where(row: Row) -> str:
    return "+".join(row["families"])


def _row(turn: Turn, use: str, split: str) -> Row:
    return {
        "text": turn.text,
        "intents": list(turn.intents),
        "slots": [list(slot) for slot in turn.slots],
        "families": list(turn.families),
        "use": use,
        "split": split,
    }
