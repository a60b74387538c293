"""Times of day as Australians say them: "half two" is 2:30, and nobody books for a quarter past two at night."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from functools import cache
from typing import Literal

from bedside.phone.words.plain import plain, table

PartOfDay = Literal["morning", "afternoon", "evening"]
_FILE = "times.yaml"
_PARTS: tuple[PartOfDay, ...] = ("evening", "afternoon", "morning")
_PAST = {"half": 30, "half past": 30, "quarter past": 15, "quarter after": 15, "quarter to": -15, "quarter of": -15}
_HOUR = r"(?P<hour>[01]?\d|2[0-3])"
_SPOKEN = re.compile(
    rf"\b(?P<past>half|half\spast|quarter\s(?:past|after|to|of)|(?P<minutes>\d\d?)\s(?:minutes\s)?(?P<way>past|to))\s{_HOUR}\b(?![:/])"
)
_WRITTEN = re.compile(
    rf"(?<![\d/:.,])(?P<cue>\b(?:at|about|around)\s)?{_HOUR}(?:(?P<mark>[:.]|\s)(?P<minutes>[0-5]\d))?(?:\s?(?P<half>a\.?\s?m|p\.?\s?m|oclock)\b)?(?![\d:/]|[.,]\d|st\b|nd\b|rd\b|th\b|\s\d)"
)
_BEFORE_AN_HOUR = re.compile(r"\b(?:after|before|by|from|until|till|between|and|than|past|or)\s$")
_BETWEEN = re.compile(r"(\bbetween\s+[\w:.' ]{1,30}?)\s+and\s+", re.IGNORECASE)
_PART_FOLLOWS = re.compile(r"\s(?:in the|this|tomorrow)\s(?:morning|morno|afternoon|arvo|evening)|\sat night")
_COUNTED = re.compile(r"\s(?:days?|weeks?|fortnights?|months?|years?|minutes?|mins?|hours?|people|kids|of|more|other)\b")
_OPENING_HOUR = 7
"""Said without am or pm, an hour before this is one of the afternoon."""


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """What was said of the time of day.

    Attributes:
        at: the exact time; None: none was named.
        part: morning, afternoon or evening; None where nothing was said of it.
        after: not before this time.
        before: not after this time.
    """

    at: time | None = None
    part: PartOfDay | None = None
    after: time | None = None
    before: time | None = None

    def fits(self, start: time) -> bool:
        """Whether an appointment that starts at `start` is what was asked for; an exact time counts as a wish, not as a bound."""
        first, last = _bounds(self.part) if self.part else (time.min, time.max)
        return max(first, self.after or time.min) <= start <= min(last, self.before or time.max)


def clocks(text: str) -> list[time]:
    """Every clock time of a turn, in the order said."""
    return [found for _, _, found in _clocks(plain(text))]


def time_of_day(text: str) -> TimeOfDay | None:
    """What a turn says about the time of day; None: nothing."""
    said = plain(_BETWEEN.sub(r"\1 until ", text))
    part = next((name for name in _PARTS if _part_words(name).search(said)), None)
    at: time | None = None
    after: time | None = None
    before: time | None = None
    for start, _, found in _clocks(said):
        lead = said[:start].rstrip()
        if _ends_with(lead, "after"):
            after = found
        elif _ends_with(lead, "before"):
            before = found
        else:
            at = found
    found_any = TimeOfDay(at, part, after, before)
    return None if found_any == TimeOfDay() else found_any


def aloud_time(value: time) -> str:
    """A clock time for the voice: "2:15 pm", "9 am"."""
    hour = value.hour % 12 or 12
    minutes = f":{value.minute:02}" if value.minute else ""
    return f"{hour}{minutes} {'am' if value.hour < 12 else 'pm'}"


def _ends_with(lead: str, key: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}$", lead) for word in table(_FILE)[key])


@cache
def _part_words(part: str) -> re.Pattern[str]:
    words = sorted(table(_FILE)["parts"][part]["words"], key=len, reverse=True)
    return re.compile(rf"(?<!\d)(?<!\d )\b(?:{'|'.join(map(re.escape, words))})\b")


def _bounds(part: str) -> tuple[time, time]:
    row = table(_FILE)["parts"][part]
    return time.fromisoformat(row["after"]), time.fromisoformat(row["before"])


def _clocks(said: str) -> Iterator[tuple[int, int, time]]:
    """Clock times of a plain turn with their places."""
    found = [(m.start(), m.end(), _spoken(m)) for m in _SPOKEN.finditer(said)]
    rest = _SPOKEN.sub(lambda match: "#" * len(match.group()), said)
    found += [(m.start("hour"), m.end(), _written(m, rest)) for m in _WRITTEN.finditer(rest)]
    for word, clock in table(_FILE)["exact"].items():
        found += [(m.start(), m.end(), time.fromisoformat(clock)) for m in re.finditer(rf"\b{word}\b", said)]
    for start, end, value in sorted(found, key=lambda item: item[0]):
        if value is not None:
            yield start, end, value


def _spoken(match: re.Match[str]) -> time | None:
    minutes = _PAST[match["past"]] if match["minutes"] is None else int(match["minutes"]) * (1 if match["way"] == "past" else -1)
    return _daytime(int(match["hour"]) * 60 + minutes, match.string) if abs(minutes) < 60 else None


def _written(match: re.Match[str], said: str) -> time | None:
    """A time in digits; a bare hour counts only where a word says that it is one."""
    hour, minutes, half = int(match["hour"]), int(match["minutes"] or 0), (match["half"] or "").replace(".", "").replace(" ", "")
    if match["minutes"] is None and not half:
        led = match["cue"] or _BEFORE_AN_HOUR.search(said[: match.start("hour")]) or _PART_FOLLOWS.match(said[match.end() :])
        if not led or _COUNTED.match(said[match.end() :]):
            return None
    if half in ("am", "pm") and hour <= 12:
        return time(hour % 12 + (12 if half == "pm" else 0), minutes)
    return _daytime(hour * 60 + minutes, said)


def _daytime(minutes: int, said: str) -> time:
    """The time of a practice's day that somebody means who says neither am nor pm; `minutes` since midnight or noon."""
    early = bool(_part_words("morning").search(said)) and not _part_words("afternoon").search(said)
    late = bool(_part_words("evening").search(said)) and minutes < 12 * 60
    if late or (minutes < _OPENING_HOUR * 60 and not early):
        minutes += 12 * 60
    return time(minutes // 60 % 24, minutes % 60)
