"""Duplicates, across and within sources: the same words (exact), nearly the same words (near), and the same meaning (semantic).

A record has two parts, what is asked and what is answered; twins must be alike in both, so that two questions with one canned answer both
stay. Twins must also agree in every number and negation: "potassium 5.1" and "potassium 6.1" teach different things, however alike they look.

Records are worked through best first (source order, then length, then place), and a record is dropped only for a twin that is kept. Kept
records that are alike but for a number or a negation are kin: they have to stand on one side of every split.

Only sketches are worked with: about 410 bytes a record, which may lie in memory-mapped files (`bedside.corpus.shards`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bedside.corpus.conversation import Conversation
from bedside.workspace.ledger import DropLedger

SHINGLE = 5
"""Letters of a shingle: a changed word of six letters changes ten of the hundred shingles of a turn of twenty words."""
BANDS, ROWS = 16, 8
"""Of the locality-sensitive hashing: records alike by 0.83 meet with a chance of 98 %, those alike by 0.4 with 1 %."""
NEAR = 0.7
"""Jaccard similarity of the shingles, estimated from 128 hashes, from which records are near duplicates."""
MEANING = 0.92
"""Cosine of the sentence embeddings from which records are semantic duplicates."""
REASONS = ("duplicate", "near_duplicate", "semantic_duplicate")
"""Reason codes of the ledger, by `Twins.kind`."""

_HASHES = BANDS * ROWS
_KEEP = -1
_BLOCK = 1024
_FULL = 64  # a bucket holds no more: thousands that share long answers and differ in their questions would be compared with each other
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_NEGATED = re.compile(r"n['’]t\b|\bcannot\b")
# Scripts without blanks between words are parted letter by letter.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_TELLING = re.compile(r"\d+|\b(?:no|not|never|none|neither|without)\b")
_MULTIPLIERS = np.random.default_rng(20261122).integers(0, 2**31, _HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)

Record = tuple[str, str]
"""What is asked and what is answered; either may be empty."""


@dataclass(frozen=True)
class Sketches:
    """Records made small, one row each.

    Attributes:
        exact: (n,) hash of the plain words of both parts.
        telling: (n,) hash of the numbers and negations in them.
        length: (n,) letters.
        bands: (n, 16) keys under which near duplicates meet.
        minima: (n, 2, 128) a byte of each minimum hash, for each part (b-bit minwise hashing, Li and König 2010).
    """

    exact: NDArray[np.uint64]
    telling: NDArray[np.uint64]
    length: NDArray[np.int64]
    bands: NDArray[np.uint64]
    minima: NDArray[np.uint8]


@dataclass(frozen=True)
class Twins:
    """What becomes of each record.

    Attributes:
        of: (n,) the record that is kept in its place; -1 where the record itself is kept.
        kind: (n,) index into `REASONS`; only where it is dropped.
        kin: pairs of kept records that are near each other and differ in a number or a negation.
    """

    of: NDArray[np.int64]
    kind: NDArray[np.uint8]
    kin: list[tuple[int, int]] = field(default_factory=list)


def plain_words(text: str) -> list[str]:
    """The words of a text without case, punctuation and compatibility forms; "n't" is the word "not"."""
    return _WORD.findall(_NEGATED.sub(" not", unicodedata.normalize("NFKC", text).casefold()))


def parts(conversation: Conversation) -> Record:
    """What is asked and answered in a conversation; a system prompt, which all share, is left out."""
    asked, answered = ("\n".join(m.content for m in conversation.messages if m.role == role) for role in ("user", "assistant"))
    return asked, answered


def sketch(records: Sequence[Record]) -> Sketches:
    """Sketch one batch of records, alike in any process and on any machine."""
    plain = [(" ".join(plain_words(asked)), " ".join(plain_words(answered))) for asked, answered in records]
    asked, answered = (_minima([record[part] for record in plain]) for part in (0, 1))
    # The least hash over both parts is the lesser of theirs; an empty part has none.
    empty = np.array([[not part for part in record] for record in plain], dtype=np.bool_).reshape(-1, 2, 1)
    both = np.where(empty, np.uint32(2**32 - 1), np.stack([asked, answered], axis=1)).min(axis=1)
    whole = both.reshape(-1, BANDS, ROWS).astype(np.uint64)
    # A key is a polynomial of its rows, salted by its band.
    bands = np.zeros(whole.shape[:2], dtype=np.uint64) + np.arange(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        bands = bands * _PRIME + whole[:, :, row]
    return Sketches(
        np.array([_hash("\n".join(record)) for record in plain], dtype=np.uint64),
        np.array([_hash(" ".join(_TELLING.findall(" ".join(record)))) for record in plain], dtype=np.uint64),
        np.array([sum(map(len, record)) for record in plain], dtype=np.int64),
        bands,
        np.stack([_byte(asked), _byte(answered)], axis=1),
    )


def gather(batches: Iterable[Sketches]) -> Sketches:
    """The sketches of all batches as one; `batches` holds at least one."""
    held = list(batches)
    return Sketches(*(np.concatenate([getattr(batch, part.name) for batch in held]) for part in fields(Sketches)))


def best_first(source: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Record numbers in the order of who stays: the earlier source, then the longer record, then the earlier one."""
    return np.lexsort((np.arange(len(source)), -length, source))


def find_twins(sketches: Sketches, order: NDArray[np.int64], near: float = NEAR) -> Twins:
    """Exact and near duplicates.

    Args:
        sketches: of all records.
        order: record numbers, best first, as `best_first` gives.
        near: similarity, 0 to 1, from which records are near duplicates.
    """
    twins = _exact(sketches.exact, order)
    left = order[twins.of[order] == _KEEP]
    meeting = _meeting(sketches.bands, left)
    buckets: dict[tuple[int, int, int], list[int]] = {}
    first: dict[tuple[int, int], int] = {}
    for place in np.flatnonzero(meeting.any(axis=1)):
        record = int(left[place])
        telling = int(sketches.telling[record])
        keys = [(int(band), int(sketches.bands[record, band])) for band in np.flatnonzero(meeting[place])]
        twin = _alike(sketches, record, sorted({other for key in keys for other in buckets.get((*key, telling), ())}), near)
        if twin is not None:
            twins.of[record], twins.kind[record] = twin, REASONS.index("near_duplicate")
            continue
        relative = _alike(sketches, record, sorted({first[key] for key in keys if key in first}), near)
        if relative is not None:
            twins.kin.append((relative, record))
        for key in keys:
            first.setdefault(key, record)
            bucket = buckets.setdefault((*key, telling), [])
            if len(bucket) < _FULL:
                bucket.append(record)
    return twins


def add_semantic(
    twins: Twins, sketches: Sketches, order: NDArray[np.int64], vectors: NDArray[np.float32], meaning: float = MEANING
) -> None:
    """Mark semantic duplicates among the records that are still kept.

    Every pair is compared, block by block; the work grows with the square of the records, so this is for up to about 100,000 of them.

    Args:
        twins: of `find_twins`; changed.
        sketches: of all records.
        order: as `find_twins`.
        vectors: (n, 2, dimensions) sentence embeddings of length 1 of what is asked and answered.
        meaning: cosine from which records have the same meaning, in both parts.
    """
    left = order[twins.of[order] == _KEEP]
    kept = np.empty(0, dtype=np.int64)
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]
        before = _nearest(vectors[block], sketches.telling[block], vectors[kept], sketches.telling[kept])
        within = _nearest(vectors[block], sketches.telling[block], vectors[block], sketches.telling[block])
        stays: list[int] = []
        for row, record in enumerate(block):
            candidates = [(float(within[row, other]), int(block[other])) for other in stays]
            if len(kept):
                candidates.append((float(before[row].max()), int(kept[before[row].argmax()])))
            score, twin = max(candidates, default=(0.0, _KEEP))
            if score >= meaning:
                twins.of[record], twins.kind[record] = twin, REASONS.index("semantic_duplicate")
            else:
                stays.append(row)
        kept = np.concatenate([kept, block[stays]])


def drop_twins(
    conversations: Iterable[Conversation], where_of: Callable[[int], str], twins: Twins, ledger: DropLedger, first: int = 0
) -> Iterator[Conversation]:
    """The conversations that stay; each other one goes to the ledger with its reason and where its kept twin is.

    Args:
        conversations: in the order in which they were sketched.
        where_of: source and place of a record by its number.
        first: number of the first conversation.
    """
    for number, conversation in enumerate(conversations, first):
        twin = int(twins.of[number])
        if twin == _KEEP:
            yield conversation
            continue
        origin = conversation.provenance
        reason = REASONS[twins.kind[number]]
        ledger.add("deduplicate", "dropped", reason, source=origin.source, where=origin.where, detail=f"kept {where_of(twin)}")


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _minima(texts: Sequence[str]) -> NDArray[np.uint32]:
    """(texts, 128) least hashes over the shingles of each text; a text shorter than a shingle is filled up with blanks."""
    coded = [np.frombuffer(text.ljust(SHINGLE).encode("utf-32-le", "surrogatepass"), dtype=np.uint32) for text in texts]
    if not coded:
        return np.empty((0, _HASHES), dtype=np.uint32)
    letters = np.concatenate(coded).astype(np.uint64)
    ends = np.cumsum([len(code) for code in coded])
    hashed = np.zeros(len(letters) - SHINGLE + 1, dtype=np.uint64)
    for place in range(SHINGLE):
        hashed = hashed * _PRIME + letters[place : len(letters) - SHINGLE + 1 + place]
    hashed ^= hashed >> np.uint64(32)
    # Shingles that run over the end of their text are none.
    over = (ends[:-1, None] - np.arange(1, SHINGLE)).ravel()
    # Multiplied by an odd number, 32 bits are permuted: one of 128 orders of all shingles.
    whole = np.delete(hashed, over).astype(np.uint32)
    starts = np.concatenate([[0], ends[:-1]]) - (SHINGLE - 1) * np.arange(len(coded))
    minima = np.empty((len(coded), _HASHES), dtype=np.uint32)
    for number, multiplier in enumerate(_MULTIPLIERS):
        minima[:, number] = np.minimum.reduceat(whole * multiplier, starts)
    return minima


def _byte(minima: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """A byte of each; the highest bits of a minimum are nearly always 0, the lowest of a product hang on few of its factors' bits."""
    return (minima >> np.uint32(12)).astype(np.uint8)


def _exact(hashes: NDArray[np.uint64], order: NDArray[np.int64]) -> Twins:
    _, first, inverse = np.unique(hashes[order], return_index=True, return_inverse=True)
    best = np.empty(len(order), dtype=np.int64)
    best[order] = order[first[inverse]]
    best[best == np.arange(len(order))] = _KEEP
    return Twins(best, np.zeros(len(order), dtype=np.uint8))


def _meeting(bands: NDArray[np.uint64], left: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(left, 16) where a record shares the key of a band with another; one band is in memory at a time."""
    shared = np.zeros((len(left), BANDS), dtype=np.bool_)
    for band in range(BANDS):
        _, inverse, counts = np.unique(bands[left, band], return_inverse=True, return_counts=True)
        shared[:, band] = counts[inverse] > 1
    return shared


def _alike(sketches: Sketches, record: int, others: list[int], near: float) -> int | None:
    """The most similar of the others that is near the record."""
    if not others:
        return None
    agreeing = (sketches.minima[others] == sketches.minima[record]).mean(axis=2).min(axis=1)
    # Bytes agree by chance once in 256.
    similarity = (agreeing - 1 / 256) / (1 - 1 / 256)
    best = int(similarity.argmax())
    return others[best] if similarity[best] >= near else None


def _nearest(
    block: NDArray[np.float32], telling: NDArray[np.uint64], others: NDArray[np.float32], theirs: NDArray[np.uint64]
) -> NDArray[np.float32]:
    """(block, others) the lesser cosine of the two parts; 0 where numbers or negations differ."""
    cosine = np.minimum(*(block[:, part] @ others[:, part].T for part in (0, 1)))
    agree: NDArray[np.float32] = np.where(telling[:, None] == theirs[None, :], cosine, np.float32(0))
    return agree
