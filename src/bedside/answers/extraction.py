"""The sentences of found passages that answer a question, word for word, or none.

A sentence answers when enough of what the question asks about stands in it, in its headings or in the question right before it, each word
weighed by how rare it is among the documents, and, where sentence embeddings are to be had, when it is near the question in meaning.
A question about something that the documents never mention thus has no answer, however alike its other words are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from bedside.answers.index import Floats
from bedside.answers.passages import is_item, sentence_spans
from bedside.answers.retrieval import Hit, Retrieval
from bedside.answers.words import asked_for, stem, tokens

# Set on the documents and questions of tests/answers/library/made_with; measured by bench/answers.py on others.
ENOUGH_WORDS = 0.6
"""Share of what is asked about that must be there, where nothing but words can be compared."""
ENOUGH = 0.45
"""Mean of that share and of the cosine between question and sentence from which a sentence answers."""
_NEAR_BEST = 0.9
"""Further sentences are quoted if they answer nearly as well as the best one."""
_MOST = 3
_LIST = 12
"""Items quoted with the line that introduces them."""
_BULLET = re.compile(r"^\s*(?:[-*•·–▪◦]|\(?\d{1,2}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Found:
    """A statement and the words of a document that support it.

    Attributes:
        hit: the passage.
        start, end: the supporting words in it.
        text: the statement: those words on one line, or a model's.
    """

    hit: Hit
    start: int
    end: int
    text: str

    @property
    def quote(self) -> str:
        """The supporting words as they stand in the document."""
        return self.hit.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class _Candidate:
    found: Found
    context: str


def extract(question: str, hits: Sequence[Hit], retrieval: Retrieval) -> list[Found]:
    """The sentences that answer a question, best first, at most three; none where the passages do not answer it."""
    candidates = [candidate for hit in hits for candidate in _candidates(hit)]
    if not candidates:
        return []
    shares = _shares(question, candidates, retrieval)
    nearness = retrieval.nearness(question, [f"{candidate.context} {candidate.found.text}" for candidate in candidates])
    scores = shares if nearness is None else (shares + nearness) / 2
    least = max(ENOUGH_WORDS if nearness is None else ENOUGH, float(scores.max()) * _NEAR_BEST)
    chosen: list[Found] = []
    for place in np.argsort(-scores, kind="stable"):
        found = candidates[place].found
        if scores[place] >= least and not any(_holds(one, found) for one in chosen):
            chosen = [*(one for one in chosen if not _holds(found, one)), found]
    return chosen[:_MOST]


def _holds(one: Found, other: Found) -> bool:
    """Whether the words of another statement are among those of this one, as an item is among its list."""
    return one.hit.passage == other.hit.passage and one.start <= other.start and other.end <= one.end


def _candidates(hit: Hit) -> Iterator[_Candidate]:
    """Each sentence of a passage; one that ends in a colon with the list after it; a question only as the context of what follows it."""
    spans = sentence_spans(hit.text)
    asked = ""
    for number, (start, end) in enumerate(spans):
        words = hit.text[start:end]
        if words.endswith("?"):
            asked = words
            continue
        behind = spans[number + 1 : number + 1 + _LIST] if words.endswith(":") else []
        items = list(takewhile(lambda span: is_item(hit.text[slice(*span)]), behind))
        text = f"{_on_one_line(words)} {'; '.join(_on_one_line(hit.text[slice(*span)]) for span in items)}".strip()
        end = items[-1][1] if items else end
        yield _Candidate(Found(hit, start, end, text), f"{hit.title}. {hit.heading}. {asked}")
        asked = ""


def _on_one_line(words: str) -> str:
    return " ".join(_BULLET.sub("", words).split())


def _shares(question: str, candidates: Sequence[_Candidate], retrieval: Retrieval) -> Floats:
    """For each candidate the share of what is asked about that it holds, by rarity."""
    asked = asked_for(question)
    rarity = retrieval.rarity(asked.values())
    total = sum(rarity.values())
    shares = np.zeros(len(candidates), dtype=np.float32)
    for place, candidate in enumerate(candidates):
        there = set(map(stem, tokens(f"{candidate.context} {candidate.found.text}")))
        held = sum(rarity[word] for form, word in asked.items() if form in there)
        shares[place] = held / total if total else 0.0
    return shares
