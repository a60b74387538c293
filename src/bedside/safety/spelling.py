"""Words as they sound and inflect: stems, drawn-out and spelt-out words, and the known word that a misheard one stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

LONGEST = 24
"""Longer words are no words of the lexicon; they are left as they are, so that a megabyte without a space costs nothing."""

_WHOLE = frozenset({"note", "notes"})
"""Their stem would be "not", which denies."""
_CLITIC = re.compile(r"'(?:s|re|m|ve|ll|d)$")
_SUFFIXES = ("ings", "ing", "ness", "edly", "ful", "ed", "ly", "es", "s")
_VOWELS = frozenset("aeiouy")
_DOUBLING = frozenset("bdgklmnprtz")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_SOUNDS = (
    (re.compile(r"ph"), "f"),
    (re.compile(r"gh(?=[^aeiou]|$)"), ""),
    (re.compile(r"c(?=[eiy])"), "s"),
    (re.compile(r"[cq]"), "k"),
    (re.compile(r"x"), "ks"),
    (re.compile(r"z"), "s"),
    (re.compile(r"^h|(?<=.)[aeiouyhw]+"), "a"),
    (re.compile(r"(.)\1+"), r"\1"),
)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A word without its clitic and inflection; two forms of one word share it, and it need not be a word itself."""
    if len(word) > LONGEST or word in _WHOLE:
        return word
    word = bare(word).replace("'", "")
    if word.endswith(_SUFFIXES):
        word = _without_suffix(word)
    if word[-1:] in _DOUBLING and word[-2:-1] == word[-1:]:
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def _without_suffix(word: str) -> str:
    """`word` without its first suffix of `_SUFFIXES` that leaves three letters, one of them a vowel."""
    for suffix in _SUFFIXES:
        rest = word[: -len(suffix)]
        if word.endswith(suffix) and len(rest) >= 3 and not _VOWELS.isdisjoint(rest):
            return word if suffix == "s" and word.endswith(("ss", "us", "is")) else rest
    return word


def bare(word: str) -> str:
    """A word without the verb or the possessive that leans on it: "he's" is "he"."""
    return _CLITIC.sub("", word) if "'" in word else word


@lru_cache(maxsize=20_000)
def sound(word: str) -> str:
    """A key that words share when they sound alike: consonants in order, each run of vowels as one letter."""
    for pattern, letter in _SOUNDS:
        word = pattern.sub(letter, word)
    return word


class Ear:
    """Finds the lexicon's word that a word outside of it stands for.

    Args:
        known: stems of the lexicon's words; only long ones are ever guessed, since short ones are one letter from everyday words.
    """

    _SOUNDS_FROM = 8
    _LETTERS_FROM = 7

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._by_sound: dict[str, str] = {}
        self._by_letters: dict[str, str] = {}
        for word in sorted(self._known):
            if len(word) >= self._SOUNDS_FROM:
                self._by_sound.setdefault(sound(word), word)
            if len(word) >= self._LETTERS_FROM:
                for variant in _shorter(word):
                    self._by_letters.setdefault(variant, word)
        self.meant = lru_cache(maxsize=20_000)(self._meant)

    def __contains__(self, word: str) -> bool:
        return word in self._known

    def _meant(self, word: str) -> str:
        """The stem of the known word that `word` most likely is; its own stem where there is none."""
        if len(word) > LONGEST:
            return word
        own = stem(word)
        if own in self._known:
            return own
        for tighter in (r"\1\1", r"\1"):
            drawn = stem(_DRAWN_OUT.sub(tighter, word))
            if drawn != own and drawn in self._known:
                return drawn
        if len(own) >= self._SOUNDS_FROM and (alike := self._by_sound.get(sound(own))):
            return alike
        if len(own) >= self._LETTERS_FROM:
            for variant in _shorter(own):
                if near := self._by_letters.get(variant):
                    return near
        return own

    def joined(self, parts: str) -> str | None:
        """The long known word that several words run together are ("un" "conscious"), or None."""
        if not self._LETTERS_FROM <= len(parts) <= LONGEST:
            return None
        own = stem(parts)
        return own if own in self._known else None

    def split(self, letters: str) -> list[str]:
        """Known words that spelt-out letters make, longest first; letters that make none are left out."""
        words: list[str] = []
        start = 0
        while start < len(letters):
            for end in range(min(len(letters), start + LONGEST), start, -1):
                if stem(letters[start:end]) in self._known:
                    words.append(letters[start:end])
                    start = end
                    break
            else:
                start += 1
        return words


def _shorter(word: str) -> set[str]:
    """`word`, and it with one letter left out: two words within one slip of each other share a member."""
    return {word} | {word[:place] + word[place + 1 :] for place in range(len(word))}
