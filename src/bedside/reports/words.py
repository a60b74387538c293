"""Terms in statements, comments and records: mentioned, denied, or not spoken of.

A mention after "no", "not", "denies" and the like in its clause, or before "nil", "absent", "negative", is a denial. A query ("?AF"), and
what is said of the family, is neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

import yaml

from bedside.knowledge.report_facts import report_terms
from bedside.safety.text import fold

LONGEST = 20_000
"""Characters of one text that are searched."""

_SPELLING = (("ae", "e"), ("oe", "e"), ("lyz", "lys"), ("ization", "isation"), ("ized", "ised"), ("fiber", "fibre"))
_BREAK = re.compile(r"[.;,!\n()\[\]|]+(?!\d)|\bbut\b")
_APART = re.compile(r"[^a-z0-9|\"]+")
_BEFORE = re.compile(r"\b(?:no|not|without|nil|denie[sd]|denying|never|negative for|free of|absence of|absent|non)(?: \w+){0,4} ?$")
_AFTER = re.compile(r" ?(?:is |was |were )?(?:nil|none|absent|negative|neg|not (?:detected|present|seen|found|evident)|no|0|false)\b")
_UNSURE = re.compile(
    r"\b(?:query|family history of|family history|fhx|fh|mother|father|brother|sister|risk of|screening for|rule out|to exclude)(?: \w+)? ?$"
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Whether a text mentions a term, and whether it denies it; both may be."""

    mentioned: bool
    denied: bool


@lru_cache(maxsize=20_000)
def plain(text: str) -> str:
    """Lower case, British and American spellings alike, words apart, clauses parted by `|`."""
    words = fold(text[:LONGEST])[0].replace("?", " query ")
    for one, other in _SPELLING:
        words = words.replace(one, other)
    return " ".join(_APART.sub(" ", _BREAK.sub(" | ", words)).split())


@lru_cache(maxsize=50_000)
def spoken(term: str, text: str) -> Spoken:
    """Whether `text` mentions or denies the term with that key."""
    words, mentioned, denied = plain(text), False, False
    if (other := _other(term)) is not None:
        words = other.sub("|", words)
    for found in _pattern(term).finditer(words):
        clause = words[: found.start()].rpartition("|")[2]
        if _BEFORE.search(clause) or _AFTER.match(words, found.end()):
            denied = True
        elif not _UNSURE.search(clause):
            mentioned = True
    return Spoken(mentioned, denied)


@cache
def plain_words(kind: Literal["turning", "filling", "asking"]) -> frozenset[str]:
    """Words of one kind of `plain_words.yaml`."""
    content = yaml.safe_load(files("bedside.reports").joinpath("plain_words.yaml").read_text(encoding="utf-8"))
    return frozenset(str(content[kind]).split())


@cache
def _pattern(term: str) -> re.Pattern[str]:
    return _any_of(report_terms()[term].words)


@cache
def _other(term: str) -> re.Pattern[str] | None:
    phrases = report_terms()[term].other_than
    return _any_of(phrases) if phrases else None


def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    forms = sorted({_form(word) for word in words}, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(forms)})\b")


def _form(word: str) -> str:
    return " ".join(
        re.escape(plain(part.removesuffix("*"))).replace(r"\ ", " ") + (r"\w*" if part.endswith("*") else "") for part in word.split(" ")
    )
