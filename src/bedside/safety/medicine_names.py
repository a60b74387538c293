"""Every way to say a medicine, and the names that an unknown word sounds or looks like."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import OSA

from bedside.knowledge.medicines import medicine_classes, medicines, sayings
from bedside.safety.text import read

By = Literal["brand", "generic", "slang", "asr", "spelling"]

SHORTEST = 5
"""Shorter words are one slip from too many everyday words to be taken for a misspelt medicine."""
SAME_SOUND = 0.08
"""What it adds to likeness that all consonants are the same."""
LONGEST = 30
"""No name is longer; longer words are never compared, so that a megabyte without a space costs nothing."""

_SOFT_C = re.compile(r"[cs]?ch?(?=[eiy])")
_ALIKE = str.maketrans("bdgqcvzj", "ptkkkfsk")
_SILENT = re.compile(r"[aeiouyhw']+")
_DOUBLED = re.compile(r"(.)\1+")


@dataclass(frozen=True, slots=True)
class Name:
    """One way to say a medicine.

    Attributes:
        key: its words, folded, one space between them.
        generics: what it stands for; several for a combination, none for a class.
        class_id: the class that it stands for, or None.
        by: what kind of name it is.
        confirm: the caller has to be asked whether it is meant.
        needs_context: it counts only among medicine words.
    """

    key: str
    generics: tuple[str, ...]
    class_id: str | None
    by: By
    confirm: bool
    needs_context: bool


@lru_cache(maxsize=20_000)
def skeleton(word: str) -> str:
    """The consonants that are heard, voiced and unvoiced ones alike, after the letter A where a vowel comes first.

    Unlike `spelling.sound` it forgets where vowels stand, so the skeleton of words run together is that of their sequence: "met foreman"
    and "metformin" share theirs.
    """
    word = _SOFT_C.sub("s", word.replace("ph", "f").replace("x", "ks"))
    lead = "A" if word[:1] in "aeiouy" else ""
    return lead + _DOUBLED.sub(r"\1", _SILENT.sub("", word.translate(_ALIKE)))


def key_of(name: str) -> str:
    """A name as it is looked up."""
    if name.isascii() and name.replace(" ", "").isalnum():
        return name.lower()
    return " ".join(token.word.replace("'", "") for token in read(name).tokens)


class NameBook:
    """All names, by their words, run together, by sound and by letters."""

    def __init__(self) -> None:
        self.exact: dict[str, Name] = {}
        self.longest = 1
        self._fill()
        self.starts = {key.partition(" ")[0] for key in self.exact}
        self.run_together: dict[str, Name] = {}
        self._by_sound: dict[str, list[str]] = defaultdict(list)
        self._by_start: dict[tuple[str, int], list[str]] = defaultdict(list)
        for key, name in self.exact.items():
            self.longest = max(self.longest, key.count(" ") + 1)
            letters = key.replace(" ", "")
            if (
                name.by in ("brand", "generic")
                and not name.needs_context
                and len(letters) >= SHORTEST
                and self.run_together.setdefault(letters, name) is name
            ):
                sounds = skeleton(letters)
                self._by_sound[sounds].append(letters)
                self._by_start[sounds[:1], len(letters)].append(letters)
        self.partners = self._alike()
        self.like = lru_cache(maxsize=50_000)(self._like)

    def _fill(self) -> None:
        ordinary = {word for fact in sayings() if fact.kind == "ordinary" for word in map(key_of, fact.words)}
        alike = {key_of(name) for fact in sayings() for pair in fact.pairs for name in pair}
        for medicine in medicines():
            by: By = "generic" if len(medicine.parts) == 1 else "brand"
            for words, kind in (((medicine.generic, *medicine.synonyms), by), (medicine.brands, "brand")):
                for word in words:
                    key = key_of(word)
                    self.exact[key] = Name(key, medicine.parts, None, kind, key in alike or key in ordinary, key in ordinary)
        for saying in sayings():
            if saying.means is not None:
                kind = "slang" if saying.kind == "slang" else "asr"
                target = self.exact.get(key_of(saying.means)) if saying.means not in medicine_classes() else None
                for word in saying.words:
                    key = key_of(word)
                    context = saying.needs_context or (key in ordinary)
                    self.exact.setdefault(
                        key, Name(key, target.generics if target else (), None if target else saying.means, kind, True, context)
                    )

    def _alike(self) -> dict[str, list[Name]]:
        """For the key of a name, the names that are taken for it."""
        partners: dict[str, list[Name]] = defaultdict(list)
        for one, other in (map(key_of, pair) for fact in sayings() for pair in fact.pairs):
            partners[one].append(self.exact[other])
            partners[other].append(self.exact[one])
        return partners

    def _like(self, letters: str) -> tuple[tuple[Name, float], ...]:
        """Names that `letters` may be a slip for, with likeness in 0 … 1, likest first; at most three."""
        if not SHORTEST <= len(letters) <= LONGEST or letters in everyday() or letters in self.exact:
            return ()
        sounds = skeleton(letters)
        near = [key for length in range(len(letters) - 2, len(letters) + 3) for key in self._by_start.get((sounds[:1], length), ())]
        found = process.extract(letters, near, scorer=OSA.normalized_similarity, score_cutoff=0.7, limit=5)
        same = self._by_sound.get(sounds, ())
        likeness = {key: score + (SAME_SOUND if key in same else 0) for key, score, _ in found}
        best = sorted(likeness.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        return tuple((self.run_together[key], min(score, 0.99)) for key, score in best)

    def heard(self, letters: str, sounds: str) -> tuple[Name, float] | None:
        """The name that words run together sound like, given their letters and skeleton; None where there is none."""
        keys = self._by_sound.get(sounds)
        if keys is None or len(sounds) < 3 or not SHORTEST <= len(letters) <= LONGEST:
            return None
        return max(((self.run_together[key], OSA.normalized_similarity(letters, key)) for key in keys), key=lambda pair: pair[1])


@cache
def book() -> NameBook:
    """The built-in names."""
    return NameBook()


@cache
def everyday() -> frozenset[str]:
    """Everyday words, names and places that are never a misspelt medicine."""
    return frozenset(files("bedside.knowledge").joinpath("everyday_words.txt").read_text(encoding="utf-8").split())


@cache
def words_of(kind: Literal["context", "little", "beside_a_name"]) -> frozenset[str]:
    """Words of one kind of `medicine_slang.yaml`, as they are looked up."""
    return frozenset(key_of(word) for fact in sayings() if fact.kind == kind for word in fact.words)
