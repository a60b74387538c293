"""Numbers that name a person, a practitioner, a thing or an account: by the words before them (whether their check digit holds or not), by
their own look and check digit, and whatever else is too long to be a measurement. The table is `data/identifiers.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bedside.corpus.deidentify.contacts import is_private
from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.phrases import Phrases
from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span, kinds
from bedside.knowledge.identifiers import is_valid

_ANY_VALUE = r"(?=(?:[\s-]?[a-z0-9/.])*?(?:\d[\s-]?[a-z]?){4})(?:[a-z]{1,4}[\s-]?){0,3}\d[\da-z]*(?:[\s\-/.]?(?:\d[\da-z]*|[a-z]\b))*"
_FILLER = re.compile(
    r"(?:[\s:#,.\-–=()\"']|\b(?:number|numbers|no|num|nbr|card|id|code|is|are|was|it's|its|it|um|uh|the|my|his|her|their|our|file|reads|ref|reference|reg|irn|plate|of|ending|in|with|and|for|number's|health|care|policy|member|that's|affairs|sn)\b)*",
    re.IGNORECASE,
)
_FEWEST_DIGITS = {"MEDICARE": 1, "VEHICLE": 1}
_INSIDE = frozenset("0123456789.$/")
_YEARS = re.compile(r"(?:19|20)\d\d(?:[\s\-/](?:19|20)\d\d)+")
_LONG = re.compile(
    r"(?:[A-Z]{1,4}[\s-]?)?(?:\d{7,}|\d{3,6}(?:[ \-]\d{3,6}){1,5}|\d{4,}[/\-]\d{4,})(?![\w]|[.,]\d)[A-Z]?"
    r"|(?=(?:[A-Z\-]{0,8}\d){4})(?=[0-9\-]{0,16}[A-Z])[A-Z0-9]{2,40}(?:-[A-Z0-9]{1,20}){0,6}(?![\w-])"
)


@dataclass(frozen=True)
class _Rule:
    value: re.Pattern[str]
    bare: re.Pattern[str] | None
    check: str | None


@cache
def _rules() -> tuple[Phrases, dict[str, _Rule]]:
    table = read_yaml("identifiers.yaml")
    rules = {}
    for type_, row in table.items():
        bare = re.compile(rf"(?:{row['bare']})(?![\w]|[.]\d)", 0 if row.get("cased") else re.IGNORECASE) if "bare" in row else None
        check = kinds()[type_].identifier if row.get("check") else None
        rules[type_] = _Rule(re.compile(row.get("value", _ANY_VALUE), re.IGNORECASE), bare, check)
    return Phrases({type_: row["cues"] for type_, row in table.items()}), rules


def find_identifiers(reading: Reading) -> Iterator[Span]:
    """Spans of every identifier type."""
    if not reading.numbers:
        return
    yield from _cued(reading)
    text = reading.text
    rules = [(type_, rule.bare, rule.check) for type_, rule in _rules()[1].items() if rule.bare]
    done = 0
    for place in sorted({*reading.codes, *reading.numbers}):
        if (text[place - 1 : place] in _INSIDE and place) or place < done:
            continue
        for type_, bare, check in rules:
            found = bare.match(text, place)
            if found and (check is None or _holds(check, found.group())):
                yield Span(*found.span(), type_, 0.97 if check else 0.88, "identifiers")
        found = _LONG.match(text, place)
        if found is None:
            continue
        done = found.end()
        if not _YEARS.fullmatch(found.group()) and is_private(found.group()):
            yield Span(*found.span(), "NUMBER", 0.5, "identifiers")


def _cued(reading: Reading) -> Iterator[Span]:
    phrases, rules = _rules()
    for type_, _, end in phrases.find(reading):
        behind = _FILLER.match(reading.text, reading.words[end - 1].end)
        value = rules[type_].value.match(reading.text, behind.end()) if behind else None
        if value and sum(letter.isdigit() for letter in value.group()) >= _FEWEST_DIGITS.get(type_, 4):
            yield Span(*value.span(), type_, 0.92, "identifiers")


def _holds(check: str, number: str) -> bool:
    """Whether the check digit holds; a Medicare number may have its IRN behind a slash."""
    return is_valid(check, re.sub(r"[\s/,-]+", "", number))
