"""A text made ready to be looked at: speech written out, words with their places and what each can be."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from bedside.corpus.deidentify.spans import Span
from bedside.corpus.deidentify.words import bits_of
from bedside.safety.spoken import View, written
from bedside.safety.text import fold

_WORD = re.compile(r"[^\W\d_]+(?:['’ʼ`\-‐‑][^\W\d_]+)*")
_ABBREVIATED = frozenset(("dr", "mr", "mrs", "ms", "st", "prof", "rev", "sr", "jr"))
_DIGITS = re.compile(r"\d+")
_POSSESSIVE = re.compile(r"['’]s$")


class Word(NamedTuple):
    """One word of a view.

    Attributes:
        text: as it stands there.
        key: folded, without a possessive ending.
        said: folded, with it.
        start: place of its first character.
        end: one past its last, the possessive ending left out.
        bits: what it can be (`words.bits_of`).
        gap: what stands between it and the word before, without the stop of an initial or a title.
        capital: whether it begins with a capital.
    """

    text: str
    key: str
    said: str
    start: int
    end: int
    bits: int
    gap: str
    capital: bool

    @property
    def initial(self) -> bool:
        """A single capital letter."""
        return len(self.text) == 1 and self.capital

    @property
    def close(self) -> bool:
        """Whether nothing but white space parts it from the word before."""
        return self.gap == " " or (len(self.gap) < 4 and not self.gap.strip(" \t-"))


@dataclass(frozen=True)
class Reading:
    """A text and its view."""

    original: str
    view: View

    @property
    def text(self) -> str:
        """The view's text, which all recognisers read."""
        return self.view.text

    @cached_property
    def lower(self) -> str:
        """The view's text in lower case, character for character."""
        lower = self.text.lower()
        # A few letters, such as İ, become two in lower case.
        return (
            lower if len(lower) == len(self.text) else "".join(low if len(low := letter.lower()) == 1 else letter for letter in self.text)
        )

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """All words, in order."""
        words: list[Word] = []
        last = 0
        whole = self.text
        for match in _WORD.finditer(whole):
            start, end = match.span()
            text = match.group()
            said = text.lower() if text.isascii() else fold(text)[0]
            key = said
            if said.endswith("'s") or "’" in text:
                ending = _POSSESSIVE.search(text)
                text = text[: ending.start()] if ending else text
                key = said.removesuffix("'s")
            gap = whole[last:start]
            if gap[:1] == "." and words and (len(words[-1].text) == 1 or words[-1].key in _ABBREVIATED):
                gap = gap[1:] or " "
            words.append(Word(text, key, said, start, start + len(text), bits_of(key), gap, text[0].isupper()))
            last = end
        return tuple(words)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each word starts."""
        return tuple(word.start for word in self.words)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Where each run of digits starts."""
        return tuple(match.start() for match in _DIGITS.finditer(self.text))

    @cached_property
    def codes(self) -> tuple[int, ...]:
        """Where each run of digits starts, or the capitals, bracket or plus right before it."""
        return tuple(_code_start(self.text, place) for place in self.numbers)

    def index_at(self, place: int) -> int:
        """The index of the first word that starts at or behind `place`."""
        return bisect_left(self.starts, place)

    @cached_property
    def cased(self) -> bool:
        """Whether capitals tell anything: some word begins with one and goes on in lower case."""
        return any(word.capital and not word.text.isupper() and word.key != "i" for word in self.words)

    def original_span(self, span: Span) -> Span:
        """A span of the view as a span of the original."""
        start, end = self.view.original(span.start, span.end)
        return Span(start, end, span.type, span.confidence, span.by)


def read(text: str) -> Reading:
    """Make a text ready."""
    return Reading(text, written(text))


def _code_start(text: str, place: int) -> int:
    start = place
    while start and place - start < 4 and text[start - 1].isalpha():
        start -= 1
    if start < place:
        return start
    for mark in "(+":
        start -= text[start - 1 : start] == mark
    return start
