"""Dates and ages: written in the styles of Australia and the United States, and as they are spoken once numbers are written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bedside.corpus.deidentify.phrases import Phrases
from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_YEAR = r"(?:(?:18|19|20|21)\d\d)"
_OF = r"(?:\s?of)?[\s\-/.,]{0,3}(?:the\s)?"
_SHORT_YEAR = r"(?:['’]?\d\d)"

_NUMERIC = re.compile(
    rf"(?:(\d{{1,2}})(\s?[/.\-]\s?)(\d{{1,2}})\s?[/.\-]\s?({_YEAR}|\d\d)|{_YEAR}([/.\-])(?:0?[1-9]|1[0-2])\5{_DAY})(?![\d/]|[.\-]\d)"
    r"(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
)
_NOT_A_DOSE = r"(?![\d:%]|\s?(?:mg|ml|mcg|am|pm|times|days?|weeks?|months?|years?)\b)"
_DAY_FIRST = re.compile(rf"{_DAY}(?:st|nd|rd|th)?{_OF}\b{_MONTH}(?:{_OF}(?:{_YEAR}|{_SHORT_YEAR}{_NOT_A_DOSE}))?", re.IGNORECASE)
_MONTH_FIRST = re.compile(
    rf"{_MONTH}(?:\s?(?:the\s)?{_DAY}(?:st|nd|rd|th)?(?!\.\d){_NOT_A_DOSE}(?:[\s,]{{1,3}}(?:of\s)?{_YEAR})?|(?:\s?of|,)?\s?(?:in\s)?{_YEAR}(?!\d))",
    re.IGNORECASE,
)
_ORDINALS = re.compile(
    rf"{_DAY}(?:st|nd|rd|th)\s(?:of\s)?the\s(?:1[0-2]|[1-9])(?:st|nd|rd|th)?(?!\d)(?:[\s,/]+(?:of\s|in\s)?(?:{_YEAR}|{_SHORT_YEAR}))?",
    re.IGNORECASE,
)
_EVENT = re.compile(
    rf"[\s:]+(?:the\s)?({_DAY}[/.]{_DAY}|{_DAY}(?:st|nd|rd|th))(?![\d/.%]|\s?(?:mg|ml|of the month|day|week|time|floor|dose|line|toe|finger))",
    re.IGNORECASE,
)
_LOOSE = re.compile(r"(?:[\s:=.,\-–(]|\b(?:is|was|it's|its|on|the|um|uh|of|my|a)\b)*(\d[\d\s/.,\-]{2,14}\d)(?!\d)", re.IGNORECASE)
_OLD = re.compile(r"(?:9\d|1[01]\d|12[0-5])(?=[\s-]{0,2}(?:years?|yrs?|y/?o\b|yo[mf]?\b|y\.o))", re.IGNORECASE)
_AGED = re.compile(r"(?:\s(?:of|is))?:?\s(9\d|1[01]\d|12[0-5])(?![\d.%/])")
_CUES = Phrases(
    {
        "birth": ("dob", "d o b", "date of birth", "birth date", "birthdate", "birthday", "born", "birth"),
        "event": (
            "on",
            "dated",
            "date",
            "seen",
            "since",
            "due",
            "lmp",
            "edd",
            "from",
            "until",
            "till",
            "by",
            "d/c",
            "admitted",
            "discharged",
        ),
        "aged": ("age", "aged", "turned", "turning"),
        "month": (*MONTHS, *(month[:3] for month in MONTHS), "sept"),
    }
)


def find_dates(reading: Reading) -> Iterator[Span]:
    """Dates of birth, other dates that say more than a year, and ages above 89."""
    if not reading.numbers:
        return
    text = reading.text
    births = []
    for cue, first, end in _CUES.find(reading):
        behind = reading.words[end - 1].end
        if cue == "birth":
            births.append(behind)
        pattern = {"birth": _LOOSE, "event": _EVENT, "aged": _AGED, "month": _MONTH_FIRST}[cue]
        found = pattern.match(text, reading.words[first].start if cue == "month" else behind)
        if found:
            yield Span(*found.span(0 if cue == "month" else 1), _type(found.start(), births, cue), _CONFIDENCE[cue], "dates")
    for place in reading.numbers:
        if text[place - 1 : place] in _NO_DATE_BEHIND and place:
            continue
        if (found := _NUMERIC.match(text, place)) and (found.group(1) is None or _plausible(int(found.group(1)), int(found.group(3)))):
            yield Span(*found.span(), _type(place, births), 0.95, "dates")
        elif found := _DAY_FIRST.match(text, place) or _ORDINALS.match(text, place):
            yield Span(*found.span(), _type(place, births), 0.9, "dates")
        if found := _OLD.match(text, place):
            yield Span(*found.span(), "AGE", 0.9, "dates")


def _plausible(one: int, other: int) -> bool:
    """A day and a month in either order."""
    return 0 < min(one, other) <= 12 and max(one, other) <= 31


def _type(start: int, births: list[int], cue: str = "") -> str:
    if cue == "aged":
        return "AGE"
    return "DATE_OF_BIRTH" if any(0 <= start - end <= 40 for end in births) else "DATE"


_CONFIDENCE = {"birth": 0.95, "event": 0.7, "aged": 0.9, "month": 0.9}
_NO_DATE_BEHIND = frozenset("/.-$")
