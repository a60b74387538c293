"""Dates moved by a number of days, in the style they were written in."""

from __future__ import annotations

import re
from datetime import date, timedelta

from bedside.corpus.deidentify.dates import MONTHS

_ISO = re.compile(r"(\d{4})([/.\-])(\d{1,2})\2(\d{1,2})(.*)", re.DOTALL)
_NUMERIC = re.compile(r"(\d{1,2})(\D{1,3})(\d{1,2})(\D{1,3})(\d{4}|\d{2})")
_PIECE = re.compile(r"(?P<year>\d{4}|['’]\d{2})|(?P<day>\d{1,2})(?P<ending>st|nd|rd|th)?|(?P<month>[a-z]+)\b", re.IGNORECASE)
_SHORT = tuple(month[:3] for month in MONTHS)
_NO_YEAR, _NO_DAY = 2001, 15
"""What a date without a year or day is reckoned with."""


def shifted(text: str, days: int) -> str | None:
    """`text`, a date with digits, moved by `days`; None if it is no whole date of the calendar.

    Numbers are read day first, as in Australia, unless only the other order is a date. Years of two digits are of this century up to 30.
    """
    try:
        if iso := _ISO.fullmatch(text):
            moved = date(int(iso[1]), int(iso[3]), int(iso[4])) + timedelta(days)
            return f"{moved.year:04}{iso[2]}{moved.month:0{len(iso[3])}}{iso[2]}{moved.day:0{len(iso[4])}}{iso[5]}"
        if numeric := _NUMERIC.fullmatch(text):
            return _numeric(numeric, days)
        return _named(text, days)
    except (ValueError, OverflowError):
        return None


def _numeric(match: re.Match[str], days: int) -> str:
    one, first_mark, other, second_mark, year = match.groups()
    day_first = int(other) <= 12
    day, month = (one, other) if day_first else (other, one)
    moved = date(_century(year), int(month), int(day)) + timedelta(days)
    new = {True: (moved.day, moved.month), False: (moved.month, moved.day)}[day_first]
    return f"{new[0]:0{len(one)}}{first_mark}{new[1]:0{len(other)}}{second_mark}{str(moved.year)[-len(year) :]}"


def _century(year: str) -> int:
    return int(year) if len(year) == 4 else int(year) + (2000 if int(year) <= 30 else 1900)


def _named(text: str, days: int) -> str | None:
    """A date with a month's name, or in ordinals ("3rd of the 4th 62")."""
    pieces = list(_PIECE.finditer(text))
    month_at = next((piece for piece in pieces if piece["month"] and piece["month"][:3].lower() in _SHORT), None)
    numbers = [piece for piece in pieces if piece["day"]]
    year_at = next((piece for piece in pieces if piece["year"]), None)
    if month_at is None and len(numbers) > 1:
        month_at = numbers.pop(1)
    if month_at is None:
        return None
    day_at = numbers[0] if numbers else None
    year_at = year_at or (numbers[1] if len(numbers) > 1 else None)
    year = _century(year_at.group().strip("'’")) if year_at else _NO_YEAR
    month = _SHORT.index(month_at["month"][:3].lower()) + 1 if month_at["month"] else int(month_at["day"])
    moved = date(year, month, int(day_at["day"]) if day_at else _NO_DAY) + timedelta(days)
    new = {month_at.span(): _month(month_at, moved.month)}
    if day_at:
        new[day_at.span()] = _ordinal(moved.day) if day_at["ending"] else f"{moved.day:0{len(day_at['day'])}}"
    if year_at:
        mark = year_at.group().rstrip("0123456789")
        new[year_at.span()] = mark + str(moved.year)[-len(year_at.group().strip("'’")) :]
    for (start, end), value in sorted(new.items(), reverse=True):
        text = text[:start] + value + text[end:]
    return text


def _month(old: re.Match[str], month: int) -> str:
    word = old["month"]
    if not word:
        return _ordinal(month) if old["ending"] else str(month)
    # "May" is its own short form; between hyphens months are short.
    short = len(word.rstrip(".")) < 5 and (word.lower() not in MONTHS or old.string[old.start() - 1 : old.start()] == "-")
    name = MONTHS[month - 1][:3] if short else MONTHS[month - 1]
    return name.upper() if word.isupper() else name.capitalize() if word[0].isupper() else name


def _ordinal(number: int) -> str:
    return f"{number}{'th' if 10 < number < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
