"""The words of a question or statement by what they do in it, as `words.yaml` sorts them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

import yaml

from bedside.safety.medicines import recognise
from bedside.safety.text import fold

Kind = Literal["filling", "asking", "denying", "restricting", "deciding"]

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*")
_WHOLE = re.compile(r"[.:]0+$")
_PLURAL = re.compile(r"(?:(?<=x)|(?<=s)|(?<=ch)|(?<=sh))es$|(?<![s'])s$")
_ENDING = re.compile(r"(?:ation|ingly|edly|ing|ed|ly|ie|e|y)$")
_SHORTEST = 4
"""Letters of a word, or of what is left of it, from which an ending is taken off."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says, as sets that can be compared.

    Attributes:
        content: its telling words, without their endings; medicines as their generic names.
        numbers: as digits, also those written as words; times without `:00`.
        medicines: generic names and classes.
        deciding: words that decide what is said, without their endings.
        denies: whether it says "no" in some way.
        restricts: whether it narrows down what it says.
    """

    content: frozenset[str]
    numbers: frozenset[str]
    medicines: frozenset[str]
    deciding: frozenset[str]
    denies: bool
    restricts: bool


@cache
def _data() -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(files("bedside.answers").joinpath("words.yaml").read_text(encoding="utf-8"))
    return loaded


@cache
def words_of(kind: Kind) -> frozenset[str]:
    """The words of one kind."""
    return frozenset(str(_data()[kind]).split())


@cache
def _digits() -> dict[str, str]:
    numbers = _data()["numbers"]
    assert isinstance(numbers, dict)
    return {word: str(value) for word, value in numbers.items()}


def stem(word: str) -> str:
    """A word without its ending: `opening`, `opens` and `open` are one."""
    word = _PLURAL.sub("", word) if len(word) >= _SHORTEST else word
    left = _ENDING.sub("", word)
    return left if len(left) >= _SHORTEST else word


def tokens(text: str) -> list[str]:
    """Folded words and numbers, in order."""
    return _TOKEN.findall(fold(text)[0])


def asked_for(question: str) -> dict[str, str]:
    """What a question asks about: its telling words in order, by stem."""
    unsaid = words_of("filling") | words_of("asking")
    return {stem(word): word for word in tokens(question) if word not in unsaid and len(word) > 1}


@lru_cache(maxsize=8192)
def meaning(text: str) -> Meaning:
    """What a text says."""
    content, numbers, deciding = set(), set(), set()
    denies = restricts = False
    medicines, others = _medicines(text)
    for word in tokens(others):
        bare = word.replace("'", "")
        if bare in words_of("denying") or word.endswith("n't"):
            denies = True
        elif bare in words_of("restricting"):
            restricts = True
        elif word[0].isdigit() or word in _digits():
            numbers.add(_WHOLE.sub("", _digits().get(word, word).replace(",", "")))
        elif bare in words_of("deciding"):
            deciding.add(stem(bare))
        elif bare not in words_of("filling"):
            content.add(stem(bare))
    return Meaning(frozenset(content | medicines), frozenset(numbers), medicines, frozenset(deciding), denies, restricts)


def _medicines(text: str) -> tuple[frozenset[str], str]:
    """The medicines that a text names, and the text without their names."""
    named: set[str] = set()
    others = list(text)
    for mention in recognise(text):
        if not mention.confirm:
            named.update(mention.generics or (mention.class_id or "",))
            others[mention.start : mention.end] = " " * (mention.end - mention.start)
    return frozenset(named), "".join(others)
