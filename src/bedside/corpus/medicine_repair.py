"""Names of medicines that were damaged on their way: cut in two, cut off, misspelt, or with foreign characters in them.

A name is repaired only where one medicine alone can be meant. The limits lie where ordinary words begin to be taken for names: in 7,653
published dialogues and abstracts they take 20 words for damaged names, and all 20 are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from rapidfuzz.distance import OSA

from bedside.safety.medicine_names import Name, book, everyday, skeleton

_MISSPELT, _MISSPELT_FROM = 0.875, 8
_SAME_SOUND_FROM = 6
_CUT_OFF_FROM, _CUT_OFF_BY = 7, 4
_SPLIT_FROM, _SPLIT_PARTS = 8, 3
_DAMAGED_FROM = 6
_PIECE = re.compile(r"[^\W\d_]+(?:[@$!|*?013457\ufffd]+[^\W\d_]+)*")
_FOREIGN = re.compile(r"[@$!|*?013457\ufffd]")
_LOOKALIKE = str.maketrans("@$!|013457", "asiioieast")
_JOINT = re.compile(r"[ -]|-\n")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged name: its place in the text, the name meant (None where it may be several), and the rule that found it."""

    start: int
    end: int
    meant: str | None
    rule: str


@lru_cache(maxsize=4)  # one text is asked for several times in a row
def damaged_names(text: str) -> tuple[Damaged, ...]:
    """Damaged names of medicines in a text, in order, without overlaps."""
    return tuple(_damaged(text))


def _damaged(text: str) -> Iterator[Damaged]:
    pieces = [match.span() for match in _PIECE.finditer(text)]
    at = 0
    while at < len(pieces):
        parts = _parts(text, pieces, at)
        start, end = pieces[at][0], pieces[at + max(parts, 1) - 1][1]
        if parts:
            yield Damaged(start, end, _joined(text, pieces[at : at + parts]), "medicine.split")
        elif found := _judged(text[start:end].lower()):
            yield Damaged(start, end, *found)
        at += max(parts, 1)


def _joined(text: str, places: list[tuple[int, int]]) -> str:
    return "".join(text[start:end] for start, end in places).lower()


def _parts(text: str, pieces: list[tuple[int, int]], at: int) -> int:
    """How many words from `at` on are one name with blanks in it; 0 where that is none."""
    if text[slice(*pieces[at])].lower() not in _beginnings():
        return 0
    most = 1
    while most < _SPLIT_PARTS and at + most < len(pieces) and _JOINT.fullmatch(text, pieces[at + most - 1][1], pieces[at + most][0]):
        most += 1
    for parts in range(most, 1, -1):
        if pieces[at + parts - 1][1] - pieces[at][0] >= _SPLIT_FROM and _joined(text, pieces[at : at + parts]) in _generics():
            return parts
    return 0


@lru_cache(maxsize=100_000)
def _judged(word: str) -> tuple[str | None, str] | None:
    """What a single word is damaged from and the rule that says so; None for the word that is no damaged name."""
    if len(word) < _DAMAGED_FROM or word in _parts_of_names() or word in everyday():
        return None
    if _FOREIGN.search(word):
        return _with_foreign(word)
    if word.endswith("s") and word[:-1] in _parts_of_names():
        return None
    return _misspelt(word) or _cut_off(word)


def _with_foreign(word: str) -> tuple[str | None, str] | None:
    letters = word.translate(_LOOKALIKE)
    if letters in _generics():
        return letters, "medicine.characters"
    wildcard = re.compile("".join("[a-z]" if _FOREIGN.match(letter) else re.escape(letter) for letter in word))
    meant = {name for name in _by_length().get(len(word), ()) if wildcard.fullmatch(name)}
    return (_only(meant), "medicine.characters") if meant else None


def _misspelt(word: str) -> tuple[str | None, str] | None:
    near = [name for name, _ in book().like(word) if " " not in name.key]
    close = [name for name in near if _is_slip(word, name)]
    if not close:
        return None
    best = max(OSA.normalized_similarity(word, name.key) for name in close)
    return _only({name.key for name in close if OSA.normalized_similarity(word, name.key) == best}), "medicine.spelling"


def _is_slip(word: str, name: Name) -> bool:
    if name.by != "generic":  # brands differ from ordinary words by a letter too often
        return False
    if len(word) >= _MISSPELT_FROM:
        return OSA.normalized_similarity(word, name.key) >= _MISSPELT
    return len(word) >= _SAME_SOUND_FROM and OSA.distance(word, name.key) == 1 and skeleton(word) == skeleton(name.key)


def _cut_off(word: str) -> tuple[str | None, str] | None:
    meant = {name for name in _beginnings().get(word, ()) if len(name) - len(word) <= _CUT_OFF_BY} if len(word) >= _CUT_OFF_FROM else set()
    return (_only(meant), "medicine.cut_off") if meant else None


def _only(meant: set[str]) -> str | None:
    """The one name, or of several names of one medicine the first; None where they are of several medicines."""
    of = {book().exact[name].generics for name in meant}
    return min(meant, key=lambda name: (len(name), name)) if len(of) == 1 else None


@cache
def _generics() -> frozenset[str]:
    """Names of substances that are one word."""
    return frozenset(key for key, name in book().exact.items() if name.by == "generic" and key.isalpha() and not name.needs_context)


@cache
def _beginnings() -> dict[str, list[str]]:
    """Generics by each of their beginnings of two letters and more, themselves not among them."""
    beginnings: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(_generics()):
        for size in range(2, len(name)):
            beginnings[name[:size]].append(name)
    return beginnings


@cache
def _parts_of_names() -> frozenset[str]:
    """Every word of every name, so that "glyceryl" is not taken for a misspelt "glycerol"."""
    return frozenset(word for key in book().exact for word in (key, *key.split()))


@cache
def _by_length() -> dict[int, list[str]]:
    lengths: defaultdict[int, list[str]] = defaultdict(list)
    for name in sorted(_generics()):
        lengths[len(name)].append(name)
    return lengths
