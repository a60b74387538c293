"""Spelled names: "B for Bravo, double T", "N G U Y E N", "oh apostrophe B R I E N"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from bedside.phone.words.plain import folded, phrases, table

_FILE = "letters.yaml"
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_LEAST = 2
"""Letters; one alone is not a spelling."""


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name as said: given names, and the family name, which is empty where only one name was said."""

    given: str
    family: str


def spelled(text: str) -> str | None:
    """The longest run of spelled letters in a turn, in capitals; None where nothing is spelled."""
    words = re.sub(r"(?<=\b\w)-(?=\w\b)", " ", re.sub(r"\bx-ray\b", "xray", folded(text))).split()
    best, at = "", 0
    while at < len(words):
        letters, end = _run(words, at)
        best = max(best, letters, key=len)
        at = max(end, at + 1)
    plain_letters = best.strip("'-")
    return plain_letters.upper() if sum(map(str.isalpha, plain_letters)) >= _LEAST else None


def person_name(text: str) -> Name | None:
    """The name in an answer to "what is your full name"; a spelled part stands in for the word that it spells."""
    letters = spelled(text)
    said = _without_spelling(folded(text)) if letters else folded(text)
    said = phrases("names.yaml", "lead").sub(" ", re.sub(r"\S*\d\S*", " ", said))
    words = [word for word in said.split() if re.fullmatch(r"[^\W\d_]+(?:['-][^\W\d_]+)*", word)]
    if letters:
        words = _corrected(words, letters.lower())
    words = [word for word, before in zip(words, [None, *words], strict=False) if word != before]
    if words[: len(words) // 2] == words[len(words) // 2 :]:  # said, or heard, twice: "Tom Fisher Tom Fisher"
        words = words[: len(words) // 2]
    if not words or len(words) > 6:
        return None
    *given, family = [_capitals(word) for word in words]
    return Name(" ".join(given), family) if given else Name(family, "")


@cache
def _letter_of() -> dict[str, str]:
    listed = {word: letter for letter, words in table(_FILE)["sounds"].items() for word in words}
    return listed | {word: word[0] for word in table(_FILE)["alphabet"]} | {chr(code): chr(code) for code in range(97, 123)}


def _run(words: list[str], at: int) -> tuple[str, int]:
    """The letters spelled from the word `at` on, and where they end."""
    letters = ""
    while at < len(words):
        if letters and words[at] in table(_FILE)["skip"]:
            at += 1
            continue
        letter, end = _letter(words, at)
        if not letter:
            break
        letters, at = letters + letter, end
    return letters, at


def _letter(words: list[str], at: int) -> tuple[str, int]:
    """One letter, doubled or with its word: what it is and where the next begins; empty where the word is no letter."""
    two = " ".join(words[at : at + 2])
    if two in _letter_of():
        return _letter_of()[two], at + 2
    if words[at] in _TIMES and at + 1 < len(words):
        letter, end = _letter(words, at + 1)
        return letter * _TIMES[words[at]], end
    if words[at] in table(_FILE)["marks"]:
        return table(_FILE)["marks"][words[at]], at + 1
    letter = _letter_of().get(words[at], "")
    return letter, at + 1 + (_example(words, at + 1, letter) if letter else 0)


def _example(words: list[str], at: int, letter: str) -> int:
    """How many words "for Bravo" or "as in Sam" take."""
    for size in (2, 1):
        if " ".join(words[at : at + size]) in table(_FILE)["stands_for"] and words[at + size : at + size + 1]:
            return size + 1 if words[at + size].startswith(letter) else 0
    return 0


def _without_spelling(said: str) -> str:
    """The turn without its letters; words that sound like letters stay where they stand alone."""
    words = re.sub(r"(?<=\b\w)-(?=\w\b)", " ", said).split()
    kept, at = [], 0
    while at < len(words):
        letters, end = _run(words, at)
        if len(letters) >= _LEAST:
            at = end
        else:
            kept.append(words[at])
            at += 1
    return " ".join(kept)


def _corrected(words: list[str], letters: str) -> list[str]:
    """The names with the one that was spelled written as it was; a name that begins alike is the one."""
    from rapidfuzz.distance import JaroWinkler

    likeness = [JaroWinkler.similarity(word, letters) for word in words]
    if likeness and max(likeness) > 0.7:
        return [letters if number == likeness.index(max(likeness)) else word for number, word in enumerate(words)]
    return [*words, letters]


def _capitals(word: str) -> str:
    return re.sub(r"(?:^|(?<=['-]))\w", lambda match: match.group().upper(), word)
