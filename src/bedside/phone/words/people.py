"""Practitioners as callers name them, matched to those of the practice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rapidfuzz.distance import JaroWinkler

from bedside.phone.words.plain import folded, phrases, table

_FILE = "people.yaml"
_LIKE = 0.9
_LIKE_AFTER_TITLE = 0.78
"""What follows "Doctor" is a name: it may be heard less well and still be matched. The line says every name back."""


def named(text: str, names: Sequence[str], also: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Those of `names` that a turn names, the likeliest first; several where one family name is shared.

    Args:
        text: the turn.
        names: full names with their titles, such as "Doctor Amelia Nguyen".
        also: other names that callers use, by full name.
    """
    words = folded(text).split()
    scores = {name: max((_score(words, one) for one in (name, *(also or {}).get(name, ()))), default=0.0) for name in names}
    best = max(scores.values(), default=0.0)
    return [name for name in dict.fromkeys(names) if scores[name] == best] if best else []


def gender(text: str) -> Literal["female", "male"] | None:
    """The gender of clinician that a turn asks for."""
    said = folded(text)
    if phrases(_FILE, "female").search(said):
        return "female"
    return "male" if phrases(_FILE, "male").search(said) else None


def _score(words: list[str], name: str) -> float:
    """How well the words name somebody: the family name counts most, a given name alone only after a title."""
    titles = table(_FILE)["titles"]
    parts = [part for part in folded(name).split() if part not in titles]
    best = 0.0
    for at, word in enumerate(words):
        titled = at > 0 and words[at - 1] in titles
        for part in parts:
            likeness = JaroWinkler.similarity(word, part)
            if likeness >= (_LIKE_AFTER_TITLE if titled else _LIKE) and len(word) > 1:
                whole = part == parts[-1]
                best = max(best, likeness + (0.5 if whole else 0) + (0.25 if titled else 0))
    given = any(JaroWinkler.similarity(word, part) >= _LIKE for word in words for part in parts[:-1])
    return best + (0.5 if given and best else 0)
