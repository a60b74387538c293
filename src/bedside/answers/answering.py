"""Answers from the organisation's own documents: every statement with the passage that supports it, or "not in my sources".

    question → triage → passages → sentences that answer → (a model's wording, each sentence checked back) → guard

The rules of the safety core see the question first and every sentence last; documents cannot change what they say. A sentence that may not be
said, such as one with a dose, is withheld: the citation still leads to it, without quoting it. To an emergency the approved text alone is said, so
that nothing in a document can delay anybody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bedside.answers.extraction import Found, extract
from bedside.answers.generation import Draft, generate
from bedside.answers.index import AnswersError
from bedside.answers.retrieval import Retrieval
from bedside.engine.base import Engine
from bedside.knowledge.dispositions import disposition as find_disposition
from bedside.knowledge.protocol import Protocol
from bedside.safety.guard import guard
from bedside.safety.numbers import numbers
from bedside.safety.text import fold
from bedside.safety.triage import triage
from bedside.safety.urgency import Fired, decide

EMERGENCY = "emergency"
NOT_IN_SOURCES = "This is not in my sources."
MAX_QUESTION = 2000
"""Characters of a question."""

_PASSAGES = 6
_DIALLED = 6
"""Digits from which a number may be a telephone number; those, fees and item numbers come from dated tables only."""


class QuestionError(AnswersError):
    """A question cannot be asked."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a statement stands.

    Attributes:
        source: the document's path within the indexed folder.
        title: of the document.
        heading: the headings above it, outermost first; "" where there is none.
        page: from 1; None where the format has no pages.
        start, end: its place in the document's text, in characters; in a text or Markdown file, its place in the file.
        quote: the words there; "" where they may not be repeated.
        withheld: the rule of the guard that does not let them be repeated, or `emergency`; "" where they are quoted.
    """

    source: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    quote: str
    withheld: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it rests on.

    Attributes:
        text: what may be shown or said; `[1]` is the first citation. To an emergency it is the approved text.
        citations: one for each statement, in their order.
        supported: whether the sources answer the question.
        groundedness: share of the proposed sentences that the sources bear out, 0 … 1; 1 for quoted ones, 0 where nothing answers.
        removed: sentences of a model that were not borne out and were left out.
        by: `quotation`, `model`, or `nothing`.
        disposition: where the protocol sends somebody who asks this.
        red_flags: ids of the rules that fired on the question.
        search: how the passages were found, and why not by meaning where they were not.
        note: why no model worded the answer although one was given; "" otherwise.
    """

    text: str
    citations: tuple[Citation, ...]
    supported: bool
    groundedness: float
    removed: int
    by: str
    disposition: str
    red_flags: tuple[str, ...]
    search: str
    note: str = ""


class Answers:
    """Answers questions from one index; safe to be used by several threads.

    Args:
        retrieval: finds the passages.
    """

    def __init__(self, retrieval: Retrieval) -> None:
        self.retrieval = retrieval

    @classmethod
    def open(cls, path: Path, *, by_meaning: bool = True) -> Answers:
        """Answers from the index at `path`.

        Raises:
            AnswersError: there is no index, or none that can be read.
        """
        return cls(Retrieval(path, by_meaning=by_meaning))

    def close(self) -> None:
        """Close the index."""
        self.retrieval.close()

    def ask(self, question: str, engine: Engine | None = None, *, day: date | None = None, protocol: Protocol | None = None) -> Answer:
        """The answer to a question.

        Args:
            question: in plain words, of at most `MAX_QUESTION` characters.
            engine: words the answer; without one, and where none of its sentences is borne out, sentences are quoted.
            day: tables and rules hold by date; today where none is given.
            protocol: the practice's own.

        Raises:
            QuestionError: the question is empty or too long.
            AnswersError: the index is damaged.
        """
        _check(question)
        day = day or date.today()
        urgent = triage(question, day=day, protocol=protocol)
        fired = [Fired(flag.id, flag.disposition) for flag in urgent.red_flags] or [Fired("no red flag", urgent.routine)]
        disposition = decide(fired, overlay=protocol, day=day).disposition
        hits = self.retrieval.search(question, _PASSAGES)
        found = extract(question, hits, self.retrieval)
        emergency = find_disposition(disposition).emergency
        draft = Draft()
        if found and engine is not None and not emergency:
            draft = generate(question, hits, engine, self.retrieval.embedder)
        by = "model" if draft.sentences else "quotation" if found else "nothing"
        found = list(draft.sentences) or found
        if emergency:
            said = [guard("", day=day, disposition=disposition, protocol=protocol).text]
            citations = tuple(_citation(one, EMERGENCY) for one in found)
        else:
            said, citations = _guarded(found, day, protocol) if found else ([NOT_IN_SOURCES], ())
        return Answer(
            text=" ".join(said),
            citations=citations,
            supported=bool(found),
            groundedness=len(found) / (len(found) + draft.removed) if by == "model" else float(bool(found)),
            removed=draft.removed,
            by=by,
            disposition=disposition,
            red_flags=tuple(flag.id for flag in urgent.red_flags),
            search=self.retrieval.how,
            note=draft.note,
        )


def _check(question: str) -> None:
    if not any(letter.isalnum() for letter in question):
        raise QuestionError("the question is empty", "Ask in words")
    if len(question) > MAX_QUESTION:
        raise QuestionError(f"the question has {len(question):,} characters; at most {MAX_QUESTION:,} are read", "Ask more briefly")


def _guarded(found: Sequence[Found], day: date, protocol: Protocol | None) -> tuple[list[str], tuple[Citation, ...]]:
    """The statements, or what is said in place of one that may not be said, marked with the numbers of their citations."""
    said: dict[str, str] = {}
    citations = []
    for number, one in enumerate(found, 1):
        allowed = _harmless_numbers(one.quote)
        statement, quote = (guard(words, day=day, allowed_numbers=allowed, protocol=protocol) for words in (one.text, one.quote))
        said[statement.text] = f"{said.get(statement.text, '')}[{number}]"
        rule = next((violation.rule for violation in (*quote.violations, *statement.violations)), "")
        citations.append(_citation(one, rule))
    return [f"{text} {marks}" for text, marks in said.items()], tuple(citations)


def _citation(one: Found, withheld: str) -> Citation:
    hit, place = one.hit, (one.hit.start + one.start, one.hit.start + one.end)
    return Citation(hit.source, hit.title, hit.heading, hit.page, *place, "" if withheld else one.quote, withheld)


def _harmless_numbers(quote: str) -> list[str]:
    """Numbers of a quotation that may be repeated: counts, years and rooms; no telephone number, amount of money or item number."""
    return [
        number.digits
        for number in numbers(fold(quote)[0])
        if not number.money and not number.item and len(re.sub(r"\D", "", number.digits)) < _DIALLED
    ]
