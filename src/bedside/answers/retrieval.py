"""Finds the passages of an index that a question is about: BM25 and sentence embeddings, fused by reciprocal rank.

BM25 is SQLite's (Robertson and Zaragoza 2009); the vectors are all-MiniLM-L6-v2's, compared by cosine; reciprocal rank fusion with k = 60 follows
Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np

from bedside.answers.index import AS_ASKED, Embedder, Floats, legible, opened, sentence_embedder
from bedside.answers.words import asked_for

BY_WORDS_AND_MEANING = "words (BM25) and meaning (all-MiniLM-L6-v2)"
BY_WORDS = "words alone (BM25)"

_FUSION = 60
_DEEP = 50
"""Passages that each of both searches brings."""
_MOST_WORDS = 64
"""Words of a question that are looked up; nobody asks about more."""
_AROUND = 20
"""Passages before and after a place that are shown with it, some ten pages."""
_DIMENSIONS = 384
_KEPT = 20_000
"""Sentences whose vectors are kept, 30 MB."""
_COLUMN_WEIGHTS = "2.0, 2.0, 1.0"
"""Of title, headings and text: a word in a heading tells more."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    Attributes:
        passage: its number in the index.
        source: its document's path within the folder.
        title: of its document.
        heading: the headings above it; "" where there is none.
        page: from 1; None where the format has no pages.
        start, end: its place in the document's text, in characters.
        text: its words.
        score: of the fusion; comparable within one search only.
    """

    passage: int
    source: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    text: str
    score: float


class Retrieval:
    """Searches one index; safe to be used by several threads. What a run writes meanwhile is found at once.

    Args:
        path: the index.
        by_meaning: False searches by words alone, also where the sentence embedder is installed.

    Raises:
        AnswersError: as `index.opened`.
    """

    def __init__(self, path: Path, *, by_meaning: bool = True) -> None:
        self._path = path
        self._database = opened(path)
        self._lock = RLock()
        self._embedder: Embedder | None = None
        self._why_not = "" if by_meaning else AS_ASKED
        self._kept: dict[str, Floats] = {}
        self._version = -1
        self._passages = np.empty(0, dtype=np.int64)
        self._vectors: Floats = np.empty((0, _DIMENSIONS), dtype=np.float32)

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._database.close()

    @property
    def how(self) -> str:
        """How passages are found, and why not by meaning where they are not."""
        with self._lock:
            if self.embedder is None:
                return f"{BY_WORDS}: {self._why_not}"
            self._refresh()
            return BY_WORDS_AND_MEANING if len(self._passages) else f"{BY_WORDS}: the index has no vectors; index the folder again"

    @property
    def embedder(self) -> Embedder | None:
        """The sentence embedder, loaded when it is first needed; None where it is not installed."""
        with self._lock:
            if self._embedder is None and not self._why_not:
                self._embedder, self._why_not = sentence_embedder()
            return self._embedder

    def nearness(self, question: str, texts: Sequence[str]) -> Floats | None:
        """The cosine between a question and each text, (texts,); None without the embedder. Vectors of texts are kept for the next question."""
        embedder = self.embedder
        if embedder is None:
            return None
        kept = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in kept]
        asked, *made = embedder.embed([question, *new])
        kept.update(zip(new, made, strict=True))
        if new:
            with self._lock:
                # A new dictionary each time: other threads go on reading the one they began with.
                self._kept = {**self._kept, **kept} if len(self._kept) + len(new) <= _KEPT else kept
        nearness: Floats = np.array([kept[text] for text in texts]) @ asked
        return nearness

    def search(self, question: str, limit: int) -> list[Hit]:
        """The passages nearest to a question, best first.

        Raises:
            AnswersError: the index is damaged.
        """
        vector = self.embedder.embed([question])[0] if self.embedder else None
        with self._lock, legible(self._path):
            rankings = [self._by_words(question)]
            if vector is not None:
                rankings.append(self._by_vector(vector))
            return self._hits(fused(rankings)[:limit])

    def around(self, source: str, start: int) -> list[Hit]:
        """The part of a document that holds a place, in its order: the page where it has pages, else the passages near by.

        Args:
            source: the document's path within the folder.
            start: the place in its text, in characters, such as that of a citation.

        Returns:
            Passages with the score 0; none where the index has no such place, or no longer.

        Raises:
            AnswersError: the index is damaged.
        """
        query = "SELECT passage, page, start, end FROM places JOIN documents ON documents.id = document WHERE source = ? ORDER BY start"
        with self._lock, legible(self._path):
            places = self._database.execute(query, (source,)).fetchall()
            at = next((number for number, (_, _, first, end) in enumerate(places) if first <= start < end), None)
            if at is None:
                return []
            near = places[max(0, at - _AROUND) : at + _AROUND + 1]
            return self._hits([(passage, 0.0) for passage, page, _, _ in near if page == places[at][1]])

    def rarity(self, words: Iterable[str]) -> dict[str, float]:
        """For each word how telling it is in this index: ln(1 + N/n) of N passages of which n hold it or another form of it; n is 1 for unknown ones."""
        found = {}
        with self._lock, legible(self._path):
            (total,) = self._database.execute("SELECT count(*) FROM places").fetchone()
            for word in words:
                (held,) = self._database.execute("SELECT count(*) FROM passages WHERE passages MATCH ?", (_quoted(word),)).fetchone()
                found[word] = math.log(1 + total / max(held, 1))
        return found

    def _by_words(self, question: str) -> list[int]:
        words = list(asked_for(question).values())[:_MOST_WORDS]
        if not words:
            return []
        query = f"SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages, {_COLUMN_WEIGHTS}), rowid LIMIT {_DEEP}"
        return [row for (row,) in self._database.execute(query, (" OR ".join(map(_quoted, words)),))]

    def _by_vector(self, vector: Floats) -> list[int]:
        self._refresh()
        nearness = self._vectors @ vector
        best = np.argsort(-nearness, kind="stable")[:_DEEP]
        return [int(self._passages[place]) for place in best]

    def _refresh(self) -> None:
        """Read the vectors again where another connection has changed the index."""
        (version,) = self._database.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        rows = self._database.execute("SELECT passage, vector FROM places WHERE vector IS NOT NULL ORDER BY passage").fetchall()
        self._passages = np.array([passage for passage, _ in rows], dtype=np.int64)
        self._vectors = np.frombuffer(b"".join(vector for _, vector in rows), dtype="<f4").reshape(-1, _DIMENSIONS)
        self._version = version

    def _hits(self, ranked: Sequence[tuple[int, float]]) -> list[Hit]:
        query = """SELECT passage, source, documents.title, heading, page, start, end, text, ?
                   FROM places JOIN documents ON documents.id = document JOIN passages ON passages.rowid = passage WHERE passage = ?"""
        rows = (self._database.execute(query, (score, passage)).fetchone() for passage, score in ranked)
        return [Hit(*row) for row in rows if row is not None]


def fused(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: what stands in some of the rankings with the sum of 1 / (60 + rank), the highest first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (_FUSION + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _quoted(word: str) -> str:
    """A word as FTS5 looks it up, whatever it holds."""
    return '"' + word.replace('"', "") + '"'
