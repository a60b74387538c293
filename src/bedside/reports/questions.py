"""Questions about a report: answered in the report's own words, with pointers, or "not in this report"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapidfuzz import fuzz

from bedside.knowledge.report_facts import report_terms
from bedside.reports.assistant import Assessment
from bedside.reports.readings import Reading, place
from bedside.reports.units import analyte_of
from bedside.reports.words import plain, plain_words, spoken

NOT_THERE = "Not in this report."


_MOST = 8
_LIKE = 88
"""Likeness in per cent from which two words count as one."""
_ABNORMAL = re.compile(r"\b(?:abnormal|outside|out of range|flagged|wrong|concern\w*|urgent|critical)\b")
_MISSING = re.compile(r"\b(?:missing|unknown|not known|lack\w*)\b")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and where each part of it stands: (words, place)."""

    text: str
    pointers: tuple[tuple[str, str], ...]


def answer(question: str, found: Assessment) -> Answer:
    """What a report and its notes say to a question; nothing is added to their words."""
    asked = plain(question[:1000])
    pointers: list[tuple[str, str]] = []
    if _MISSING.search(asked):
        pointers = [(f"Not known: {one.fact}", "the record") for one in found.missing]
    elif _ABNORMAL.search(asked):
        pointers = [(note.text, note.because[0].source if note.because else note.rule) for note in found.notes]
    else:
        words = frozenset(word for word in asked.replace("|", " ").split() if word not in plain_words("asking"))
        pointers = _results(asked, words, found) + _statements(asked, words, found)
        named = {text for text, _ in pointers}
        pointers += [(note.text, note.rule) for note in found.notes if any(reason.text in named for reason in note.because)]
    unique = tuple(dict.fromkeys(pointers))[:_MOST]
    return Answer(" ".join(f"{text.rstrip('.')} [{source}]." for text, source in unique) or NOT_THERE, unique)


def _results(asked: str, words: frozenset[str], found: Assessment) -> list[tuple[str, str]]:
    return [
        (str(one), place(one.finding.source))
        for one in found.context.readings
        if one.finding.value is not None and _names(one, asked, words)
    ]


def _names(one: Reading, asked: str, words: frozenset[str]) -> bool:
    """Whether the question names a result, by any name of its analyte or by its name in the report."""
    names = (*(one.analyte.names if one.analyte else ()), one.label, one.finding.name)
    if any(f" {plain(name)} " in f" {asked} " for name in names if len(name) > 1):
        return True
    own = analyte_of(" ".join(sorted(words)))
    close = any(fuzz.ratio(word, plain(name)) >= _LIKE for word in words if len(word) > 4 for name in names)
    return close or (own is not None and own is one.analyte)


def _statements(asked: str, words: frozenset[str], found: Assessment) -> list[tuple[str, str]]:
    """Statements that share a term or a telling word with the question."""
    terms = [term for term in report_terms() if spoken(term, asked).mentioned]
    hits = []
    for said in found.context.statements:
        heard = any(spoken(term, said.text).mentioned or spoken(term, said.text).denied for term in terms)
        if heard or any(len(word) > 3 and word in plain(said.text).split() for word in words):
            hits.append((said.text, said.source))
    return hits
