"""Days of the calendar: of a month, of a week, and Easter."""

from __future__ import annotations

import calendar
from datetime import date, timedelta


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, 2nd ed., chapter 8)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    moon = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * moon) // 433
    month = (h + moon - 7 * m + 90) // 25
    return date(year, month, (h + moon - 7 * m + 33 * month + 19) % 32)


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The `nth` Monday (0) … Sunday (6) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def upcoming(today: date, weekday: int) -> date:
    """The next such weekday after today."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def month_span(today: date, ahead: int) -> tuple[date, date]:
    """First and last day of the month that is `ahead` months from today's."""
    years, month = divmod(today.month - 1 + ahead, 12)
    year = today.year + years
    return date(year, month + 1, 1), date(year, month + 1, calendar.monthrange(year, month + 1)[1])


def day_of_month(day: int, month: int | None, today: date, year: int | None = None) -> tuple[date, ...]:
    """The next such day from today on; without a month, of this month or one of the next; empty where there is none."""
    if month is not None:
        candidates = [(year, month)] if year else [(today.year + step, month) for step in range(9)]  # 29 February may be eight years off
    else:
        candidates = [(first.year, first.month) for first, _ in (month_span(today, step) for step in range(3))]
    for in_year, in_month in candidates:
        if 1 <= in_year <= 9999 and day <= calendar.monthrange(in_year, in_month)[1] and date(in_year, in_month, day) >= today:
            return (date(in_year, in_month, day),)
    return ()
