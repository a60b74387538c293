"""Curation: sources and synthesis to one corpus, split by family, with every loss in the ledger.

Writes into the stage's folder:

    conversations.jsonl  curated conversations of the sources, each with its split
    turns.jsonl          synthetic caller turns, each with its split and the stage that uses it
    ledger.jsonl         every record dropped, with its reason
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from bedside.corpus.conversation import Conversation
from bedside.corpus.deidentify import Surrogates
from bedside.corpus.deidentify.files import STAGE as DEIDENTIFY
from bedside.corpus.deidentify.files import Settings, deidentify_text
from bedside.corpus.sources import read_source
from bedside.corpus.synthesis.grammar import CallerGrammar, Template, Turn, turns
from bedside.engine.understanding import normalise
from bedside.errors import SourceError
from bedside.recipe.models import Endpoint, Recipe, Source
from bedside.workspace.files import write_jsonl
from bedside.workspace.ledger import DropLedger

CONVERSATIONS, TURNS, LEDGER = "conversations.jsonl", "turns.jsonl", "ledger.jsonl"


def source_path(source: Source, recipe_folder: Path) -> Path:
    """Where a source lies: absolute, or from the recipe's folder, with `$NAME` and `~` expanded."""
    return (recipe_folder / Path(os.path.expandvars(source.path)).expanduser()).resolve()


def curate(recipe: Recipe, recipe_folder: Path, suite_texts: frozenset[str], out: Path, console: Console) -> dict[str, Any]:
    """Run the corpus stage.

    Args:
        suite_texts: normalised texts of the evaluation suite; a record that holds one is dropped as `in_evaluation`.

    Returns:
        Counts by source, split and drop reason.

    Raises:
        SourceError: a required source is missing, unreadable, or loses more than its allowed share.
    """
    ledger = DropLedger()
    missing: list[str] = []
    conversations = list(_conversations(recipe, recipe_folder, suite_texts, ledger, missing, console))
    ledger.check_share(recipe.corpus.max_dropped_share)
    made = list(_turns(recipe, recipe_folder, suite_texts, ledger)) if recipe.corpus.synthesis else []
    if recipe.corpus.endpoint:
        made += _asked_turns(recipe, recipe.corpus.endpoint, [row["text"] for row in made] + sorted(suite_texts), out, ledger, console)
    write_jsonl(out / CONVERSATIONS, [{**c.model_dump(mode="json"), "split": split} for c, split in conversations])
    write_jsonl(out / TURNS, made)
    ledger.write(out / LEDGER)
    splits = Counter(f"{c.provenance.source}/{split}" for c, split in conversations) + Counter(
        f"synthesis/{row['use']}/{row['split']}" for row in made
    )
    licences = {c.provenance.source: c.provenance.licence for c, _ in conversations}
    return {
        "records": dict(sorted(splits.items())),
        "seen": dict(ledger.seen),
        "dropped": ledger.counts(),
        "missing_sources": missing,
        "licences": licences,
    }


def _conversations(
    recipe: Recipe, folder: Path, suite: frozenset[str], ledger: DropLedger, missing: list[str], console: Console
) -> Iterator[tuple[Conversation, str]]:
    corpus = recipe.corpus
    seen: dict[str, str] = {}
    for source in corpus.sources:
        path = source_path(source, folder)
        if not path.exists() and not source.required:
            console.print(f"[yellow]source {source.name!r} is not at {source.path!r}: skipped (it is optional)")
            missing.append(source.name)
            continue
        for conversation in read_source(
            source.reader, path, source=source.name, licence=source.licence, locale=source.locale, ledger=ledger, limit=source.limit
        ):
            where = conversation.provenance.where
            if corpus.deidentify != "off":
                conversation = _deidentified(conversation, Settings(corpus.deidentify, recipe.seed), ledger)
            if conversation.hash in seen:
                ledger.add(
                    "deduplicate",
                    "dropped",
                    "duplicate",
                    source=source.name,
                    where=where,
                    detail=f"same words as {seen[conversation.hash]}",
                )
            elif any(normalise(m.content) in suite for m in conversation.messages):
                ledger.add("decontaminate", "dropped", "in_evaluation", source=source.name, where=where)
            else:
                seen[conversation.hash] = where
                yield conversation, "held_out" if _draw(conversation.provenance.family) < corpus.held_out_share else "train"


def _deidentified(conversation: Conversation, settings: Settings, ledger: DropLedger) -> Conversation:
    """The conversation with names and identifiers replaced, in its labels too; one person keeps one surrogate in all of it."""
    where = conversation.provenance.where
    record = Surrogates(settings.seed, where)
    masked: Counter[str] = Counter()

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            text, spans = deidentify_text(value, settings, record)
            masked.update(span.type for span in spans)
            return text
        if isinstance(value, dict):
            return {key: clean(one) for key, one in value.items()}
        return [clean(one) for one in value] if isinstance(value, list | tuple) else value

    messages = tuple(m.model_copy(update={"content": clean(m.content)}) for m in conversation.messages)
    labels = clean(conversation.labels)
    for kind, number in masked.items():
        ledger.add(DEIDENTIFY, "masked", kind, source=conversation.provenance.source, where=where, detail=f"{number} places")
    return conversation.model_copy(update={"messages": messages, "labels": labels})


def _turns(recipe: Recipe, folder: Path, suite: frozenset[str], ledger: DropLedger) -> Iterator[dict[str, Any]]:
    settings = recipe.corpus.synthesis
    assert settings is not None
    own = (folder / settings.folder).resolve() if settings.folder else None
    if own is not None and not own.is_dir():
        raise SourceError(
            f"corpus.synthesis.folder {str(own)!r} does not exist",
            "Correct the path, or remove the key to use the built-in templates alone",
        )
    grammar = CallerGrammar(own)
    train = [t for t in grammar.templates if _draw(t.family) >= settings.held_out]
    held_out = [t for t in grammar.templates if _draw(t.family) < settings.held_out]
    single = [t for t in train if len(t.intents) <= 1]
    known: set[str] = set()
    plans: list[tuple[str, str, list[Template], int, float]] = [
        ("single_intent", "train", single, settings.turns, 0.0),
        ("multi_intent", "train", train, settings.turns, settings.multi_share),
        ("multi_intent", "held_out", held_out, settings.held_out_turns, settings.multi_share),
    ]
    for number, (use, split, templates, count, multi_share) in enumerate(plans):
        for turn in turns(grammar, count=count, multi_share=multi_share, seed=recipe.seed + number, templates=templates):
            ledger.saw("synthesis")
            text = normalise(turn.text)
            if text in known or text in suite:
                ledger.add(
                    "synthesis",
                    "dropped",
                    "duplicate" if text in known else "in_evaluation",
                    source="synthesis",
                    where="+".join(turn.families),
                )
                continue
            known.add(text)
            yield _row(turn, use, split)


def _asked_turns(
    recipe: Recipe, endpoint: Endpoint, existing: list[str], out: Path, ledger: DropLedger, console: Console
) -> list[dict[str, Any]]:
    """Turns from an endpoint, checked item by item; resumed where a killed run left them."""
    from bedside.corpus.synthesis.endpoint import EndpointSettings, generate

    settings = EndpointSettings(**endpoint.model_dump(), seed=recipe.seed)
    accepted = generate(settings, ledger=ledger, existing=existing, out=out / "endpoint.jsonl", progress=console.print)
    rows = []
    for conversation in accepted:
        gold = conversation.labels["understanding"]
        turn = Turn(
            conversation.messages[0].content, tuple(gold["intents"]), tuple(map(tuple, gold["slots"])), (conversation.provenance.family,)
        )
        rows.append(_row(turn, "multi_intent", "train"))
    return rows


def _row(turn: Turn, use: str, split: str) -> dict[str, Any]:
    return {
        "text": turn.text,
        "intents": list(turn.intents),
        "slots": [list(slot) for slot in turn.slots],
        "families": list(turn.families),
        "use": use,
        "split": split,
    }


def _draw(family: str) -> float:
    """A family's place in [0, 1): the same for ever, so that a family never changes sides."""
    return int.from_bytes(hashlib.sha256(family.encode()).digest()[:4]) / 2**32
