"""Readings over time: from the rows of a table to signals, with everything that is wrong with their times and values told."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from bedside.reports.model import Signal, Span
from bedside.reports.readers.source import Draft
from bedside.reports.readers.values import iso_time, number, written_time

_NUMERIC = re.compile(
    r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4}|\d\d)[T, ]*(?:(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?\s*(?P<half>[AaPp])?\.?[Mm]?\.?"
)
_STEP_BACK = 1800
"""Seconds that a clock goes back at least when it is changed; smaller steps are rows out of order."""
_STEP_BACK_MOST = 4 * 3600


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of one row.

    Attributes:
        time: as written.
        moment: the same as a time; None where it is none.
        values: as written, by the signal's name; "" where the device had none.
    """

    span: Span
    time: str
    moment: datetime | None
    values: Mapping[str, str]


def moments_of(draft: Draft, written: Sequence[tuple[str, Span]]) -> list[datetime | None]:
    """Times of a column; that its order of day and month is not certain is a problem."""
    moments, unsure = column_times([text for text, _ in written])
    if unsure:
        draft.problem("unsure_dates", f"{written[0][0]!r} was read as day before month", written[0][1])
    return moments


def add_signals(draft: Draft, readings: Sequence[Reading], units: Mapping[str, str], words: Mapping[str, float] | None = None) -> None:
    """Adds one signal for each quantity to a draft, readings in the order of their times.

    Rows without a time are left out, rows that are wholly repeated count once; both are problems, as are rows out of order and a clock that
    was set back. Times stay those of the device's clock.

    Args:
        units: UCUM unit by signal name; the signals are those.
        words: number that stands for a word such as `low`.
    """
    timed: list[tuple[datetime, tuple[float, ...], Span]] = []
    for reading in readings:
        if reading.moment is None:
            draft.problem("bad_date", f"{reading.time[:40]!r} is no time", reading.span)
        else:
            timed.append((reading.moment, tuple(_value(draft, reading, name, words or {}) for name in units), reading.span))
    _tell_words(draft, readings, units, words or {})
    kept = _once(draft, timed)
    if not kept:
        return
    _tell_order(draft, kept)
    kept.sort(key=lambda item: item[0])
    start = kept[0][0]
    times = np.array([(moment - start).total_seconds() for moment, _, _ in kept])
    whole = _around(span for _, _, span in kept)
    for place, (name, unit) in enumerate(units.items()):
        values = np.array([row[place] for _, row, _ in kept])
        if not np.isnan(values).all():
            draft.signals.append(Signal(name=name, values=values, unit=unit, source=whole, times=times, start=start))


def column_times(texts: Sequence[str]) -> tuple[list[datetime | None], bool]:
    """Times of a column, all read in one order of day and month, without time zone.

    The order is that in which most are times and, where both are, that in which they go forward; day first where nothing tells.

    Returns:
        The times, None where one is none; and whether the order was not certain.
    """
    plain = [iso_time(text) or iso_time(text.replace("/", "-")) if re.match(r"\d{4}", text) else None for text in texts]
    open_places = [place for place, moment in enumerate(plain) if moment is None and texts[place]]
    found = {place: match for place in open_places if (match := _NUMERIC.fullmatch(texts[place].strip()))}
    orders = [{place: _moment(match, first) for place, match in found.items()} for first in ("day", "month")]
    day_first, month_first = (_rank(order) for order in orders)
    chosen = orders[1] if month_first > day_first else orders[0]
    moments = [moment.replace(tzinfo=None) if moment else None for moment in plain]
    for place in open_places:
        moments[place] = chosen.get(place) if place in found else written_time(texts[place][:40]) if len(texts) < 5000 else None
        if (moment := moments[place]) is not None:
            moments[place] = moment.replace(tzinfo=None)
    unsure = day_first == month_first and orders[0] != orders[1] and any("." not in match.group() for match in found.values())
    return moments, unsure


def _moment(match: re.Match[str], first: str) -> datetime | None:
    day, month = (match["one"], match["two"]) if first == "day" else (match["two"], match["one"])
    year = int(match["year"]) + (2000 if len(match["year"]) == 2 else 0)
    hour = int(match["hour"] or 0)
    if match["half"]:
        hour = hour % 12 + (12 if match["half"] in "Pp" else 0)
    try:
        return datetime(year, int(month), int(day), hour, int(match["minute"] or 0), int(match["second"] or 0))
    except ValueError:
        return None


def _rank(moments: Mapping[int, datetime | None]) -> tuple[int, float]:
    """How well an order of day and month fits: how many are times, and how little time they span."""
    found = [moment for moment in moments.values() if moment]
    return len(found), -(max(found) - min(found)).total_seconds() if found else 0.0


def _value(draft: Draft, reading: Reading, name: str, words: Mapping[str, float]) -> float:
    written = reading.values.get(name, "")
    if not written:
        return math.nan
    if written.lower() in words:
        return words[written.lower()]
    said = number(written)
    if said is None:
        draft.problem("bad_number", f"{name} at {reading.time}: {written[:40]!r} is no number", reading.span)
        return math.nan
    return said.value


def _tell_words(draft: Draft, readings: Sequence[Reading], names: Iterable[str], words: Mapping[str, float]) -> None:
    """Tells once for each word how often it stood for a number."""
    for name in names:
        said = [(reading.values.get(name, "").lower(), reading) for reading in readings]
        for word in sorted({word for word, _ in said} & words.keys()):
            found = [reading for one, reading in said if one == word]
            detail = f"{name} {word!r} was read as {words[word]:g}, {len(found)} times from {found[0].time} on"
            draft.problem("beyond_device", detail, found[0].span)


def _once(draft: Draft, timed: list[tuple[datetime, tuple[float, ...], Span]]) -> list[tuple[datetime, tuple[float, ...], Span]]:
    """Rows without repetitions of a time and all its values; a time that has other values again stays, and is told."""
    seen: dict[datetime, set[tuple[float, ...]]] = {}
    kept: list[tuple[datetime, tuple[float, ...], Span]] = []
    for moment, values, span in timed:
        comparable = tuple(-1e300 if math.isnan(value) else value for value in values)
        if moment in seen and comparable in seen[moment]:
            draft.problem("duplicate_row", f"{moment.isoformat(' ')} stands there twice", span)
            continue
        if moment in seen:
            draft.problem("conflicting_rows", f"{moment.isoformat(' ')} has different values", span)
        seen.setdefault(moment, set()).add(comparable)
        kept.append((moment, values, span))
    return kept


def _tell_order(draft: Draft, kept: list[tuple[datetime, tuple[float, ...], Span]]) -> None:
    """Tells of rows out of order and of a clock that was set back; a table that runs backwards as a whole is in order."""
    steps = [(kept[place + 1][0] - kept[place][0]).total_seconds() for place in range(len(kept) - 1)]
    backwards = sum(step < 0 for step in steps) > sum(step > 0 for step in steps)
    for place, step in enumerate(steps):
        if (-step if backwards else step) >= 0:
            continue
        moment, _, span = kept[place + 1]
        if _STEP_BACK <= abs(step) <= _STEP_BACK_MOST:
            draft.problem("clock_changed", f"the clock goes back by {abs(step) / 60:.0f} minutes to {moment.isoformat(' ')}", span)
        else:
            draft.problem("out_of_order", f"{moment.isoformat(' ')} comes after a later time", span)


def _around(spans: Iterable[Span]) -> Span:
    found = list(spans)
    first, last = found[0], found[-1]
    path = first.path if first == last else f"{first.path} to {last.path}"
    starts = [span.start for span in found if span.start is not None]
    ends = [span.end for span in found if span.end is not None]
    return first.model_copy(update={"path": path, "start": min(starts, default=None), "end": max(ends, default=None)})
