"""A text made ready to be looked at: speech written out, words with their places and what each can be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from bedside.corpus.deidentify.spans import Span
from bedside.corpus.deidentify.spoken import View, written
from bedside.corpus.deidentify.words import bits_of
from bedside.safety.text import fold

_WORD = re.compile(r"[^\W\d_]+(?:['’ʼ`\-‐‑][^\W\d_]+)*")
_POSSESSIVE = re.compile(r"['’]s$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a view.

    Attributes:
        text: as it stands there.
        key: folded, without a possessive ending.
        start: place of its first character.
        end: one past its last, the possessive ending left out.
        bits: what it can be (`words.bits_of`).
        gap: what stands between it and the word before.
        capital: whether it begins with a capital.
    """

    text: str
    key: str
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
        """Whether nothing but white space, or a stop behind an initial or a title, parts it from the word before."""
        return self.gap in (" ", ". ", ".", "  ", "-") or (len(self.gap) < 4 and not self.gap.strip(" .\t"))


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
        return lower if len(lower) == len(self.text) else "".join(low if len(low := letter.lower()) == 1 else letter for letter in self.text)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """All words, in order."""
        words = []
        last = 0
        for match in _WORD.finditer(self.text):
            start, end = match.span()
            text = match.group()
            if (ending := _POSSESSIVE.search(text)) is not None:
                text = text[: ending.start()]
            key = text.lower() if text.isascii() else fold(text)[0]
            words.append(Word(text, key, start, start + len(text), bits_of(key), self.text[last:start], text[0].isupper()))
            last = end
        return tuple(words)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each word starts."""
        return tuple(word.start for word in self.words)

    @cached_property
    def cased(self) -> bool:
        """Whether capitals tell anything: some words have one, and most have none."""
        capitals = sum(word.capital for word in self.words if word.key != "i")
        return 0 < capitals < 0.7 * len(self.words) or (0 < capitals and len(self.words) < 8)

    def original_span(self, span: Span) -> Span:
        """A span of the view as a span of the original."""
        start, end = self.view.original(span.start, span.end)
        return Span(start, end, span.type, span.confidence, span.by)


def read(text: str) -> Reading:
    """Make a text ready."""
    return Reading(text, written(text))
