"""Dates and ages: written in the styles of Australia and the United States, and as they are spoken once numbers are written out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_YEAR = r"(?:(?:18|19|20|21)\d\d)"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?[\s,.]{1,3}(?:the\s)?)?"
_OF = r"(?:\s?of)?[\s\-/.,]{0,3}(?:the\s)?"
_SHORT_YEAR = r"(?:['’]?\d\d)"

_NUMERIC = re.compile(rf"(?<![\d/.\-])(?:(\d{{1,2}})(\s?[/.\-]\s?)(\d{{1,2}})\s?[/.\-]\s?({_YEAR}|\d\d)|{_YEAR}([/.\-])(?:0?[1-9]|1[0-2])\5{_DAY})(?![\d/]|[.\-]\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_NAMED = re.compile(
    rf"(?<![\d/.])(?:{_WEEKDAY}\b{_DAY}(?:st|nd|rd|th)?{_OF}\b{_MONTH}(?:{_OF}(?:{_YEAR}|{_SHORT_YEAR}(?![\d:%]|\s?(?:mg|ml|mcg|am|pm|times|days?|weeks?)\b)))?"
    rf"|{_WEEKDAY}\b{_MONTH}\s?(?:the\s)?{_DAY}(?:st|nd|rd|th)?(?![\d:%./]\d|\d|\s?(?:mg|ml|mcg|am|pm|times|days?|weeks?|months?|years?)\b)(?:[\s,]{{1,3}}(?:of\s)?{_YEAR})?"
    rf"|\b{_MONTH}(?:\s?of|,)?\s?(?:in\s)?{_YEAR}(?!\d))",
    re.IGNORECASE,
)
_ORDINALS = re.compile(rf"(?<!\d)(?:the\s)?{_DAY}(?:st|nd|rd|th)\s(?:of\s)?the\s(?:1[0-2]|[1-9])(?:st|nd|rd|th)?(?!\d)(?:[\s,/]+(?:of\s|in\s)?(?:{_YEAR}|{_SHORT_YEAR}))?", re.IGNORECASE)
_BIRTH = re.compile(r"\b(?:d\.?\s?o\.?\s?b\b\.?|date of birth|birth\s?date|birthday|born|birth)", re.IGNORECASE)
_LOOSE = re.compile(r"(?:[\s:=.,\-–(]|\b(?:is|was|it's|its|on|the|um|uh|of|my|a)\b)*(\d[\d\s/.,\-]{2,14}\d)(?!\d)", re.IGNORECASE)
_EVENT = re.compile(rf"\b(?:on|dated?|seen|since|due|lmp|edd|from|until|till|by|d/c|admitted|discharged)[\s:]+({_DAY}[/.]{_DAY}|{_DAY}(?:st|nd|rd|th)|the {_DAY}(?:st|nd|rd|th))(?![\d/.%]|\s?(?:mg|ml|of the month|day|week|time|floor|dose|line|toe|finger))", re.IGNORECASE)
_AGE = re.compile(r"(?<![\d.])(?:9\d|1[01]\d|12[0-5])(?=[\s-]{0,2}(?:years?|yrs?|y/?o\b|yo[mf]?\b|y\.o))|(?:\b(?:aged?|turned|turning)(?:\s(?:of|is))?:?\s)(9\d|1[01]\d|12[0-5])(?![\d.%/])", re.IGNORECASE)


def find_dates(reading: Reading) -> Iterator[Span]:
    """Dates of birth, other dates that say more than a year, and ages above 89."""
    text = reading.text
    births = [match.end() for match in _BIRTH.finditer(text)]
    for end in births:
        if loose := _LOOSE.match(text, end):
            yield Span(*loose.span(1), "DATE_OF_BIRTH", 0.95, "dates")
    if not any(letter.isdigit() for letter in text):
        return
    for match in _NUMERIC.finditer(text):
        if match.group(1) is None or _plausible(int(match.group(1)), int(match.group(3))):
            yield Span(*match.span(), _type(match.start(), births), 0.95, "dates")
    for pattern in (_NAMED, _ORDINALS):
        for match in pattern.finditer(text):
            yield Span(*match.span(), _type(match.start(), births), 0.9, "dates")
    for match in _EVENT.finditer(text):
        yield Span(*match.span(1), "DATE", 0.7, "dates")
    for match in _AGE.finditer(text):
        yield Span(*match.span(1 if match.group(1) else 0), "AGE", 0.9, "dates")


def _plausible(one: int, other: int) -> bool:
    """A day and a month in either order."""
    return 0 < min(one, other) <= 12 and max(one, other) <= 31


def _type(start: int, births: list[int]) -> str:
    return "DATE_OF_BIRTH" if any(0 <= start - end <= 40 for end in births) else "DATE"
