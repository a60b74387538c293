"""Days as Australians say them, relative to today in the practice's zone.

thursday week           the Thursday after the coming one
the thirtieth of the sixth
this fri or next        either of the two
early next week, in a fortnight, cup day, the day after anzac day
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache

from bedside.phone.words.calendar import day_of_month, easter, month_span, nth_weekday, upcoming
from bedside.phone.words.plain import plain, table

_FILE = "days.yaml"
_DAY = timedelta(days=1)
Days = tuple[date, ...]


def days(text: str, today: date) -> Days:
    """The days that a turn asks for, in order; empty where it names none.

    Args:
        text: the turn.
        today: today in the practice's zone. A weekday without more is the coming one, seven days off where it is today's.

    A day of the past is the same day a year later where no year was said, and nothing where one was.
    """
    said = plain(text)
    found: set[date] = set()
    for pattern, reader in _readers():
        if reader is _soon and found:  # "first available on Friday" is Friday
            break

        def read(match: re.Match[str], reader: _Reader = reader) -> str:
            got = [day for day in reader(match, today) if day >= today]
            found.update(got)
            return " # "

        said = pattern.sub(read, said)
    return tuple(sorted(found))


def spans(chosen: Iterable[date]) -> list[tuple[date, date]]:
    """Days as spans without gaps, in order: what a diary is asked for."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(chosen)):
        if found and day - found[-1][1] == _DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def aloud_day(day: date, today: date) -> str:
    """A day for the voice: "today", "tomorrow", "Thursday", "Thursday the 3rd of December"."""
    if day - today <= _DAY:
        return "today" if day == today else "tomorrow" if day > today else f"{day:%A}"
    if day - today < timedelta(days=7):
        return f"{day:%A}"
    ending = "th" if 10 < day.day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return f"{day:%A} the {day.day}{ending} of {day:%B}"


_Reader = Callable[[re.Match[str], date], Iterable[date]]


def _run(first: date, last: date) -> Days:
    return tuple(first + _DAY * step for step in range((last - first).days + 1))


@cache
def _weekday_of() -> dict[str, int]:
    return {word: number for number, words in table(_FILE)["weekdays"].items() for word in words}


@cache
def _month_of() -> dict[str, int]:
    return {word: number for number, words in enumerate(table(_FILE)["months"], 1) for word in words}


def month_number(word: str) -> int | None:
    """1 to 12 for a month's name or short form; None for another word."""
    return _month_of().get(word)


@cache
def any_month() -> str:
    """A regular expression of the months' names and short forms."""
    return _any_of(_month_of())


def _count(word: str | None) -> int:
    return int(word) if word and word.isdigit() else table(_FILE)["counts"].get(word or "a", 1)


def _any_of(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


@cache
def _readers() -> tuple[tuple[re.Pattern[str], _Reader], ...]:
    """Patterns and their readers, the more particular first: what one has read, the later ones do not see."""
    day, month, weekday = r"(?P<day>[12]\d|3[01]|0?[1-9])", f"(?P<month>{any_month()})", f"(?P<weekday>{_any_of(_weekday_of())})"
    year = r"(?:[\s,/]+(?:of\s)?(?P<year>(?:19|20)\d\d))?"
    led = f"(?:(?:{_any_of(_weekday_of())})\\s(?:the\\s)?)?"  # "Tuesday the 24th" is one day
    number = rf"(?P<count>\d+|{_any_of(table(_FILE)['counts'])})"
    named = f"(?P<named>{_any_of(table(_FILE)['named'])})"
    listed: tuple[tuple[str, _Reader], ...] = (
        (rf"(?:(?:(?P<count>\d+|the|a)\s)?(?P<unit>days?|weeks?)\s(?P<way>after|before)\s)?{named}", _named),
        (rf"{led}(?<![\d:]){day}[/.](?P<number>1[0-2]|0?[1-9])(?:[/.](?P<year>\d{{4}}|\d\d))?(?![\d:]|\s?[ap]\.?m)", _numeric),
        (rf"{led}{day}(?:st|nd|rd|th)?\s(?:of\s)?(?:the\s)?(?:{month}\b|(?P<number>1[0-2]|[1-9])(?:st|nd|rd|th)\b){year}", _of_month),
        (rf"{led}{month}\s(?:the\s)?{day}(?:st|nd|rd|th)?(?![\d:]){year}", _of_month),
        (rf"{led}{day}(?:st|nd|rd|th)(?!\s(?:1|one|option|time|opinion|visit|dose|appointment|available)\b)", _of_month),
        (r"day after tomorrow|day after next", lambda m, today: (today + 2 * _DAY,)),
        (rf"(?:a|one|1)\s(?P<unit>week|fortnight)\s(?:from\s)?(?:on\s)?(?:{weekday}|(?P<today>today|tomorrow))", _week_on),
        (rf"(?:{weekday}|(?P<today>today|tomorrow))\s(?P<unit>week|fortnight)\b(?!\safter)", _week_on),
        (
            rf"(?P<which>this|next|this\scoming|the\scoming)?\s?\b{weekday}(?:\s(?P<later>after next))?(?P<or_next>\sor\s(?:the\s)?next)?",
            _weekday,
        ),
        (rf"(?:in|within)\s{number}\s?(?:of\s)?(?P<unit>days?|weeks?|fortnights?|months?)(?:'s?)?(?:\stime)?", _in),
        (r"^(?P<count>a)?\s?(?P<unit>fortnight)$", _in),
        (rf"{number}\s(?P<unit>days?|weeks?|fortnights?|months?)(?:'s?)?\s(?:from\snow|time|away|from\stoday)", _in),
        (
            r"(?P<edge>early|beginning of|start of|late|end of|middle of|mid)?\s?(?:the\s)?(?P<which>this|next|the)\s(?P<unit>week|fortnight|month)(?:\s(?P<later>after next|after))?\b",
            _period,
        ),
        (r"(?P<edge>beginning of|start of|end of|middle of)\s(?P<which>the\s)?(?P<unit>week|month)", _period),
        (r"(?P<which>this|next|the|on the|on|any)\s(?:coming\s)?weekends?", _weekend),
        (rf"(?P<edge>early|beginning of|start of|late|end of|middle of|mid)\s{month}\b", _month),
        (rf"(?:in|during|sometime in|next|any time in)\s{month}\b", _month),
        (f"(?:{_any_of(table(_FILE)['tomorrow'])})", lambda m, today: (today + _DAY,)),
        (f"(?:{_any_of(table(_FILE)['today'])})", lambda m, today: (today,)),
        (f"(?:{_any_of(table(_FILE)['soon']['words'])})", _soon),
    )
    return tuple((re.compile(rf"(?<![\w']){pattern}(?![\w'])"), reader) for pattern, reader in listed)


def _soon(match: re.Match[str], today: date) -> Days:
    row = table(_FILE)["soon"]
    return _run(today + row["from"] * _DAY, today + row["to"] * _DAY)


def _named(match: re.Match[str], today: date) -> Days:
    row = table(_FILE)["named"][match["named"]]
    step = 0
    if match["way"]:
        step = (1 if match["way"] == "after" else -1) * _count(match["count"])
        step *= 7 if match["unit"].startswith("week") else 1
    for year in (today.year, today.year + 1):
        if "easter" in row:
            found = easter(year) + row["easter"] * _DAY
        elif "nth" in row:
            found = nth_weekday(year, row["month"], row["weekday"], row["nth"]) + row.get("plus", 0) * _DAY
        else:
            found = date(year, row["month"], row["day"])
        if found + step * _DAY >= today:
            return (found + step * _DAY,)
    return ()


def _numeric(match: re.Match[str], today: date) -> Days:
    year = match["year"]
    return day_of_month(int(match["day"]), int(match["number"]), today, int(year) + (2000 if len(year) == 2 else 0) if year else None)


def _of_month(match: re.Match[str], today: date) -> Days:
    got = match.groupdict()
    month = int(got["number"]) if got.get("number") else _month_of()[got["month"]] if got.get("month") else None
    return day_of_month(int(got["day"]), month, today, int(got["year"]) if got.get("year") else None)


def _week_on(match: re.Match[str], today: date) -> Days:
    """The same weekday a week or fortnight after the coming one."""
    weeks = 7 if match["unit"] == "week" else 14
    if match["today"]:
        return (today + (weeks + (match["today"] == "tomorrow")) * _DAY,)
    return (upcoming(today, _weekday_of()[match["weekday"]]) + weeks * _DAY,)


def _weekday(match: re.Match[str], today: date) -> Days:
    """ "\"next Friday\" is the one of next week, which is how most Australians mean it; the line says the date back."""
    number = _weekday_of()[match["weekday"]]
    coming = upcoming(today, number)
    monday = today - today.weekday() * _DAY
    of_next_week = monday + (7 + number) * _DAY
    if match["later"]:
        return (of_next_week + 7 * _DAY,)
    if match["or_next"]:
        return coming, coming + 7 * _DAY
    if match["weekday"].endswith("days"):
        return tuple(coming + 7 * week * _DAY for week in range(4))
    if match["which"] == "next":
        return (of_next_week,)
    if match["which"] == "this" and number == today.weekday():
        return (today,)
    return (coming,)


def _in(match: re.Match[str], today: date) -> Days:
    count, unit = min(_count(match["count"]), 366), match["unit"].rstrip("s")
    if unit == "month":
        first, last = month_span(today, min(count, 12))
        return _run(first, last) if count else ()
    target = today + count * {"day": 1, "week": 7, "fortnight": 14}[unit] * _DAY
    return (target,) if unit == "day" else _run(target, target + 2 * _DAY)


_EDGES = {"early": (0, 0.34), "beginning of": (0, 0.34), "start of": (0, 0.34), "middle of": (0.34, 0.67), "mid": (0.34, 0.67)}


def _edge(first: date, last: date, name: str | None, today: date) -> Days:
    """The named part of a span of days, from today on."""
    if name is None:
        return _run(max(first, today), last)
    low, high = _EDGES.get(name, (0.7, 1))
    length = (last - first).days
    return _run(first + round(length * low) * _DAY, first + round(length * high) * _DAY)


def _period(match: re.Match[str], today: date) -> Days:
    got = match.groupdict()
    ahead = 2 if got.get("later") else 1 if got["which"] == "next" else 0
    if got["which"] == "the" and not got.get("later") and not got.get("edge"):
        return ()
    if got["unit"] == "month":
        first, last = month_span(today, ahead)
        days_found = _edge(first, last, got["edge"], today)
        return days_found if not days_found or days_found[-1] >= today else _edge(*month_span(today, 1), got["edge"], today)
    monday = today - today.weekday() * _DAY + 7 * ahead * _DAY
    return _edge(monday, monday + (11 if got["unit"] == "fortnight" else 4) * _DAY, got["edge"], today)


def _weekend(match: re.Match[str], today: date) -> Days:
    saturday = today - today.weekday() * _DAY + (5 + (7 if match["which"] == "next" else 0)) * _DAY
    return saturday, saturday + _DAY


def _month(match: re.Match[str], today: date) -> Days:
    got = match.groupdict()
    ahead = (_month_of()[got["month"]] - today.month) % 12
    return _edge(*month_span(today, ahead), got.get("edge"), today)
