"""The menu: keys and their words. It is all that the line understands when there is no model."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from bedside.engine.understanding import Intent, Understanding
from bedside.phone.words.plain import folded


@cache
def _menu() -> dict[str, dict[str, object]]:
    rows: dict[str, dict[str, object]] = yaml.safe_load(files(__package__).joinpath("menu.yaml").read_text(encoding="utf-8"))
    return rows


def intent_of_key(key: str) -> str | None:
    """The intent behind a key of the menu."""
    row = _menu().get(key)
    return str(row["intent"]) if row else None


def understand_by_words(text: str) -> Understanding:
    """What a turn means by the words of the menu alone; a booking is what is meant only where no other entry is named.

    A turn with none of these words has no intents, so that the call goes to a person.
    """
    said = f" {folded(text)} "
    found = [str(row["intent"]) for row in _menu().values() if any(f" {word} " in said for word in row["words"])]  # type: ignore[attr-defined]
    named = [intent for intent in found if intent != "appt_new"] or found
    intents = tuple(Intent(name=name, p=1.0) for name in named)
    return Understanding(intents=intents, slots={}, entropy=0.0, probabilities=dict.fromkeys(named, 1.0), seconds=0.0)
