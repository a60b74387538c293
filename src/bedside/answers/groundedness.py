"""Whether a sentence is borne out by passages: a lexical entailment check, helped by sentence embeddings.

A sentence holds when one or two neighbouring sentences of a passage, below its headings, bear it out: each of its numbers, medicines, names and
deciding words ("before", "Monday", "must") stands there, a "no" is neither lost nor added, no "only" or "unless" is left out, and nearly all its
other words are there too; fewer are enough where all-MiniLM-L6-v2 finds both alike. What it cannot see: parts of one sentence put together
otherwise ("adults wait 15 minutes and children 30"), because all the words are there. `bench/answers.py` measures it.

That every number and negation must be found again follows the error classes of factual-consistency checks (Kryściński et al., "Evaluating the
factual consistency of abstractive text summarization", EMNLP 2020: entity, number and negation swaps).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bedside.answers.index import Embedder
from bedside.answers.passages import sentence_spans
from bedside.answers.retrieval import Hit
from bedside.answers.words import Meaning, meaning, stem, tokens

MOST_WORDS_THERE = 0.85
"""Share of a sentence's telling words that must stand in the words that support it."""
ENOUGH_IF_ALIKE = 0.6
"""The same where the two are alike by their embeddings."""
ALIKE = 0.8
"""Cosine of all-MiniLM-L6-v2 from which two sentences count as alike."""

_NAME = re.compile(r"(?<=[^.!?:\s]\s)[A-Z][\w'’-]+")
_CLAUSE = re.compile(r"[,;:.!?\n]|\b(?:but|and|or|while|whereas)\b")


@dataclass(frozen=True, slots=True)
class Support:
    """The words that bear a sentence out.

    Attributes:
        hit: the passage.
        start, end: their place in it: `hit.text[start:end]`.
        words: share of the sentence's telling words that stand there, 0 … 1.
    """

    hit: Hit
    start: int
    end: int
    words: float


def support(sentence: str, hits: Sequence[Hit], embedder: Embedder | None = None) -> Support | None:
    """What bears a sentence out best among passages, or None where nothing does.

    Args:
        sentence: one statement.
        hits: the passages it may rest on.
        embedder: lets other words of the same meaning count; without one nearly every word must be there.
    """
    said = meaning(sentence)
    if not (said.content or said.numbers or said.deciding):
        return None
    names = _names(sentence)
    found = [one for hit in hits for window in _windows(hit) if (one := _borne_out(said, names, hit, window))]
    enough = MOST_WORDS_THERE if embedder is None else ENOUGH_IF_ALIKE
    best = max((one for one in found if one.words >= enough), key=lambda one: (one.words, one.start - one.end), default=None)
    if best is None or best.words >= MOST_WORDS_THERE or embedder is None:
        return best
    vectors = embedder.embed([sentence, best.hit.text[best.start : best.end]])
    return best if float(vectors[0] @ vectors[1]) >= ALIKE else None


def _windows(hit: Hit) -> Iterator[tuple[tuple[int, int], ...]]:
    """The places of each sentence of a passage, and of each two neighbours."""
    spans = sentence_spans(hit.text)
    yield from ((span,) for span in spans)
    yield from pairwise(spans)


def _borne_out(said: Meaning, names: frozenset[str], hit: Hit, window: Sequence[tuple[int, int]]) -> Support | None:
    """The sentences of a window as support, if all that decides stands there; whether enough of the other words does is left open."""
    start, end = window[0][0], window[-1][1]
    words = hit.text[start:end]
    there, about = meaning(words), meaning(f"{hit.title}\n{hit.heading}")
    if not _decides_alike(said, there, about) or not names <= there.content | about.content or not _keeps_no(said, words):
        return None
    # Two sentences may be put together only where none of them says another number or day than is said:
    # "Blood takes 3 days. Imaging takes 5 days." does not bear out that blood takes 5.
    if len(window) > 1 and not there.numbers | there.deciding <= said.numbers | said.deciding:
        return None
    shared = said.content & (there.content | about.content)
    return Support(hit, start, end, len(shared) / len(said.content) if said.content else 1.0)


def _decides_alike(said: Meaning, there: Meaning, about: Meaning) -> bool:
    return (
        said.numbers <= there.numbers | about.numbers
        and said.medicines <= there.medicines | about.medicines
        and said.deciding <= there.deciding | about.deciding
        and said.restricts >= there.restricts
    )


def _names(sentence: str) -> frozenset[str]:
    """Words written with a capital inside a sentence, such as names of people and places."""
    return frozenset(stem(token) for name in _NAME.findall(sentence) for token in tokens(name)) & meaning(sentence).content


def _keeps_no(said: Meaning, words: str) -> bool:
    """A "no" of the supporting words that is about what is said must be said too, and the other way round."""
    about = [clause for clause in map(meaning, _CLAUSE.split(words)) if _is_about(clause, said)]
    return said.denies == any(clause.denies for clause in about)


def _is_about(clause: Meaning, said: Meaning) -> bool:
    """Whether most telling words of a clause are among those said; one without any ("what did not") belongs to what stands beside it."""
    telling = clause.content | clause.deciding
    return not telling or len(telling & (said.content | said.deciding)) * 2 > len(telling)
