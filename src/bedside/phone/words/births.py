"""Dates of birth, day first, as they are said: "third of the fourth sixty-two", "oh three oh four sixty two", "3/4/62"."""

from __future__ import annotations

import re
from datetime import date
from functools import cache

from bedside.phone.words.dates import any_month, month_number
from bedside.phone.words.plain import plain

_OLDEST = 115
"""Years; nobody who rings is older."""
_NUMBER = re.compile(r"\d+")
_JOINING = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b|\b(?:of|the)\b")
_OTHER_WORDS = re.compile(r"[a-z']+")
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"


@cache
def _named() -> re.Pattern[str]:
    """A date whose month is named, its day before or after it."""
    before, after = rf"(?P<before>{_DAY})\s(?:day\s)?(?:of\s)?", rf"\s(?:the\s)?(?P<after>{_DAY})(?=\s|$)"
    return re.compile(rf"\b(?:{before})?(?P<month>{any_month()})\b(?:{after})?\s+(?:of\s)?(?P<year>\d{{4}}|\d\d)\b")


def birth_date(text: str, today: date) -> date | None:
    """The date of birth in a turn; None where there is none that lies within a lifetime before today.

    A year of two digits is the last one that has been: sixty-two is 1962, and twelve is 2012. Numbers are one date only where no other word
    stands between them, so a month that was not understood ("28 Febbry 1995") makes no other date of the rest.
    """
    said = " ".join(plain(text).replace(",", " ").split())
    for match in _named().finditer(said):
        month = month_number(match["month"])
        day = match["before"] or match["after"]
        if month and day:
            return _checked(int(day.rstrip("stndrh")), month, match["year"], today)
    numbers = (_NUMBER.findall(run) for run in _OTHER_WORDS.split(_JOINING.sub(" ", said)))
    return next((found for run in numbers if (found := _numeric(run, today))), None)


def _numeric(groups: list[str], today: date) -> date | None:
    """The first three numbers, or digits run together, that are a day, a month and a year."""
    for start in range(len(groups)):
        for day, month, year in _readings(groups[start : start + 4]):
            if found := _checked(int(day), int(month), year, today):
                return found
    return None


def _readings(groups: list[str]) -> list[tuple[str, str, str]]:
    first, *rest = groups
    readings = []
    if len(groups) > 3 and groups[2] in ("19", "20") and len(groups[3]) == 2:
        readings.append((first, rest[0], groups[2] + groups[3]))
    if len(groups) > 2 and len(first) == 4:
        readings.append((rest[1], rest[0], first))
    if len(groups) > 2 and len(first) < 3 and len(rest[0]) < 3:
        readings.append((first, rest[0], rest[1]))
    if len(groups) > 1:
        readings += _split(first, rest[0])
        if len(first) < 3:
            readings += [(first, rest[0][:cut], rest[0][cut:]) for cut in (2, 1) if len(rest[0]) - cut in (2, 4)]
    if len(first) in (6, 8):
        readings.append((first[:2], first[2:4], first[4:]))
    return [reading for reading in readings if len(reading[2]) in (2, 4) and len(reading[0]) < 3 and len(reading[1]) < 3]


def _split(both: str, year: str) -> list[tuple[str, str, str]]:
    """Day and month said digit by digit without a pause: "three four, sixty two" is heard as 34 62."""
    cuts = {2: (1,), 3: (2, 1), 4: (2,)}.get(len(both), ())
    return [(both[:cut], both[cut:], year) for cut in cuts]


def _checked(day: int, month: int, year: str, today: date) -> date | None:
    """The date, month and day changed over where only that gives one."""
    if month > 12 and day <= 12:
        day, month = month, day
    for whole in (int(year),) if len(year) == 4 else (2000 + int(year), 1900 + int(year)):
        try:
            found = date(whole, month, day)
        except ValueError:
            continue
        if found <= today and today.year - found.year <= _OLDEST:
            return found
    return None
