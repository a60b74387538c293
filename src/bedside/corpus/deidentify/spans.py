"""What is found: spans, the kinds they are of (`data/types.yaml`), and how the spans of several recognisers become one list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from bedside.corpus.deidentify.data import read_yaml


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text that may tell who somebody is.

    Attributes:
        start: of its first character in the text as it came in.
        end: one past its last character.
        type: one of `kinds()`.
        confidence: from 0 to 1; 0.9 and more has a check digit or words that name it.
        by: the recogniser that found it.
    """

    start: int
    end: int
    type: str
    confidence: float
    by: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of span.

    Attributes:
        hipaa: letter of the Safe Harbor list, 45 CFR 164.514(b)(2)(i).
        australian: what it is in Australia.
        identifier: id in `knowledge/identifiers.yaml` whose check digit it has, if any.
    """

    hipaa: str
    australian: str
    identifier: str | None = None


class Recogniser(Protocol):
    """Anything that finds spans in a text: a model, a practice's own patterns. Its spans are joined with the built-in ones."""

    def __call__(self, text: str) -> Iterable[Span]:
        """Spans of `text`, in any order, which may overlap."""


@cache
def kinds() -> dict[str, Kind]:
    """All types of spans by name."""
    return {name: Kind(**fields) for name, fields in read_yaml("types.yaml").items()}


def joined(text: str, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order, none touching another: whatever overlaps becomes one span of the surest (then longest) one's type.

    White space and closing punctuation at the ends is left out.
    """
    merged: list[Span] = []
    best: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        span = _trimmed(text, span)
        if span.end <= span.start:
            continue
        if merged and span.start < merged[-1].end:
            surest = max(best[-1], span, key=lambda one: (one.confidence, one.end - one.start))
            last = merged[-1]
            best[-1] = surest
            merged[-1] = Span(last.start, max(last.end, span.end), surest.type, surest.confidence, surest.by)
        else:
            merged.append(span)
            best.append(span)
    return tuple(merged)


def _trimmed(text: str, span: Span) -> Span:
    inner = text[span.start : span.end]
    start = span.start + len(inner) - len(inner.lstrip(" \t\r\n,;:"))
    end = span.end - (len(inner) - len(inner.rstrip(" \t\r\n,;:")))
    return span if (start, end) == (span.start, span.end) else Span(start, end, span.type, span.confidence, span.by)
