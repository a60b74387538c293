"""Numbers that name a person, a practitioner, a thing or an account: by the words before them (whether their check digit holds or not), by
their own look and check digit, and whatever else is too long to be a measurement. The table is `data/identifiers.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span, kinds
from bedside.knowledge.identifiers import is_valid

_ANY_VALUE = r"(?=(?:[\s-]?[a-z0-9/.])*?(?:\d[\s-]?[a-z]?){4})(?:[a-z]{1,4}[\s-]?){0,3}\d[\da-z]*(?:[\s\-/.]?(?:\d[\da-z]*|[a-z]\b))*"
_FILLER = re.compile(
    r"(?:[\s:#,.\-–=()\"']|\b(?:number|numbers|no|num|nbr|card|id|code|is|are|was|it's|its|it|um|uh|the|my|his|her|their|our|file|reads|ref|reference|reg|irn|plate|of|ending|in|with|and|for|number's|health|care|policy|member|that's|affairs|sn)\b)*",
    re.IGNORECASE,
)
_LONG = re.compile(r"(?<![\w.$])(?:[A-Z]{1,4}[\s-]?)?(?:\d{7,}|\d{3,6}(?:[ \-]\d{3,6}){1,5}|\d{4,}[/\-]\d{4,})(?![\w]|[.,]\d)[A-Z]?|(?<![\w-])(?=[A-Z0-9\-]*\d[A-Z0-9\-]*\d[A-Z0-9\-]*\d[A-Z0-9\-]*\d)(?=[A-Z0-9\-]*[A-Z])[A-Z0-9]{2,}(?:-[A-Z0-9]+)*(?<=[A-Z0-9]{6})(?![\w-])")


@dataclass(frozen=True)
class _Rule:
    value: re.Pattern[str]
    bare: re.Pattern[str] | None
    check: str | None


@cache
def _rules() -> tuple[re.Pattern[str], dict[str, _Rule]]:
    rules = {}
    cues = []
    for type_, row in read_yaml("identifiers.yaml").items():
        flags = 0 if row.get("cased") else re.IGNORECASE
        bare = re.compile(rf"(?<![\w.])(?:{row['bare']})(?![\w]|[.]\d)", flags) if "bare" in row else None
        check = kinds()[type_].identifier if row.get("check") else None
        rules[type_] = _Rule(re.compile(row.get("value", _ANY_VALUE), re.IGNORECASE), bare, check)
        cues.append(rf"(?P<{type_}>{row['cues']})")
    return re.compile(rf"(?<![\w])(?:{'|'.join(cues)})(?![a-z])", re.IGNORECASE), rules


def find_identifiers(reading: Reading) -> Iterator[Span]:
    """Spans of every identifier type."""
    text = reading.text
    if not any(letter.isdigit() for letter in text):
        return
    cues, rules = _rules()
    for match in cues.finditer(text):
        type_ = match.lastgroup or ""
        value = rules[type_].value.match(text, _FILLER.match(text, match.end()).end())  # type: ignore[union-attr]
        if value and sum(letter.isdigit() for letter in value.group()) >= (1 if type_ in ("MEDICARE", "VEHICLE") else 4):
            yield Span(*value.span(), type_, 0.92, "identifiers")
    for type_, rule in rules.items():
        for match in rule.bare.finditer(text) if rule.bare else ():
            if rule.check is None or any(is_valid(rule.check, part) for part in (match.group(), re.sub(r"[\s/,-]+", "", match.group()))):
                yield Span(*match.span(), type_, 0.97 if rule.check else 0.88, "identifiers")
    for match in _LONG.finditer(text):
        if not re.fullmatch(r"(?:19|20)\d\d(?:[\s\-/](?:19|20)\d\d)+", match.group()):
            yield Span(*match.span(), "NUMBER", 0.5, "identifiers")
