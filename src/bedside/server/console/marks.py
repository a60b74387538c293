"""A text cut where evidence begins and ends, so that a page can mark the words that fired a rule."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Mark(NamedTuple):
    """Words of a text, from `start` to just before `end`, and what they stand for."""

    start: int
    end: int
    label: str


class Piece(NamedTuple):
    """A stretch of a text and the labels of the marks over all of it; none where nothing is marked."""

    text: str
    labels: tuple[str, ...]


def pieces(text: str, marks: Iterable[Mark]) -> list[Piece]:
    """The text in stretches, which put together are the text. Marks may overlap; what of them lies outside of the text counts for nothing."""
    kept = [mark for mark in marks if 0 <= mark.start < mark.end <= len(text)]
    cuts = sorted({0, len(text), *(place for mark in kept for place in mark[:2])})
    return [
        Piece(text[start:end], tuple(dict.fromkeys(mark.label for mark in kept if mark.start <= start and end <= mark.end)))
        for start, end in pairwise(cuts)
    ]
