"""Numbers, reference intervals and times, as reports write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal, cast

from bedside.reports.model import Interval

Comparator = Literal["", "<", ">", "<=", ">="]

NUMBER = r"[-+−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d{1,12})?|\d{1,15}(?:[.,]\d{1,12})?|\.\d{1,12})(?:[eE][-+]?\d{1,2})?"
"""A number in running text: groups of thousands by commas, a decimal point or comma, an exponent."""
FLAG = r"(?:HH|LL|[HLA](?![\w/])|\*{1,3}|\((?:H|L|HH|LL|A|\*)\)|\b(?:high|low|abnormal|critical)\b)"
"""What says beside a number that it is abnormal."""
_COMPARED = re.compile(rf"\s*(?P<comparator><=|>=|=<|=>|[<>≤≥])?\s*(?P<number>{NUMBER})\s*")
_THOUSANDS = re.compile(r"[-+−]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?(?:[eE].*)?")
_COMPARATORS: dict[str, Comparator] = {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}
_BOTH = re.compile(rf"[\s(\[]*(?P<low>{NUMBER})\s*(?:-|–|—|to|\.\.\.?|\^)\s*(?P<high>{NUMBER})[\s)\]]*(?P<rest>.*)", re.DOTALL)
_ONE = re.compile(
    rf"[\s(\[]*(?:(?P<most><=?|=<|≤|up to)|(?P<least>>=?|=>|≥))\s*(?P<limit>{NUMBER})[\s)\]]*(?P<rest>.*)", re.DOTALL | re.IGNORECASE
)
_HL7_TIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.(\d{1,4})\d*)?)?([-+]\d{4})?")

_DAYS = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%Y/%m/%d")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was read.

    Attributes:
        unsure: its comma may stand between thousands or before decimals; it was read as the first.
    """

    value: float
    comparator: Comparator = ""
    unsure: bool = False


def number(written: str) -> Number | None:
    """The number that `written` is, with its comparator; None where it is something else.

    A comma before three digits stands between thousands, as in Australia; elsewhere it is a decimal comma.
    """
    found = _COMPARED.fullmatch(written[:64])
    if not found or len(written) > 64:
        return None
    said = found["comparator"] or ""
    value = plain(found["number"])
    unsure = found["number"].count(",") == 1 and "." not in found["number"] and bool(_THOUSANDS.fullmatch(found["number"]))
    return Number(value, _COMPARATORS.get(said, cast(Comparator, said)), unsure)


def plain(written: str) -> float:
    """A text that matches `NUMBER`, as a number."""
    comma = "" if _THOUSANDS.fullmatch(written) else "."
    return float(written.replace("−", "-").replace(",", comma))


def interval(written: str) -> Interval | None:
    """A reference interval: two limits, one limit with a comparator, or words; None where nothing is written."""
    written = written.strip()
    if not written:
        return None
    if both := _BOTH.match(written):
        low, high = plain(both["low"]), plain(both["high"])
        return Interval(low=low, high=high, text=written) if low <= high else Interval(text=written)
    if one := _ONE.match(written):
        limit = plain(one["limit"])
        return Interval(high=limit, text=written) if one["most"] else Interval(low=limit, text=written)
    return Interval(text=written)


def hl7_time(written: str) -> datetime | None:
    """`YYYY[MM[DD[HH[MM[SS[.S]]]]]][+ZZZZ]` of HL7 v2 and `YYYYMMDD` of other formats; None where it is no time."""
    found = _HL7_TIME.fullmatch(written.strip())
    if not found:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        offset = timezone((1 if zone[0] == "+" else -1) * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))) if zone else None
        micro = int((fraction or "0").ljust(6, "0"))
        return datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), micro, offset)
    except ValueError:
        return None


def iso_time(written: str) -> datetime | None:
    """A time or day in ISO 8601, also a year or a month alone; None where it is none."""
    text = written.strip()[:40]
    if re.fullmatch(r"\d{4}", text):
        text += "-01-01"
    elif re.fullmatch(r"\d{4}-\d\d", text):
        text += "-01"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def day_of(written: str) -> date | None:
    """A day: ISO, `YYYYMMDD`, or day first as Australians and Germans write it; None where it is none."""
    text = written.strip()
    if found := re.fullmatch(r"(\d{1,2})[./ -](\d{1,2})[./ -](\d{4})", text):
        parts = (int(found[3]), int(found[2]), int(found[1]))
    elif found := re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", text):
        parts = (int(found[1]), int(found[2]), int(found[3]))
    else:
        return None
    try:
        return date(*parts)
    except ValueError:
        return None


def utc(moment: datetime) -> datetime:
    """A moment with a time zone, so that moments compare; one without is taken as it stands."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def written_time(written: str) -> datetime | None:
    """A day or a time as people write it, day first: ISO, `12/03/2026 14:05`, `12 Mar 2026 2:05 pm`; None where it is none."""
    text = " ".join(written.replace(",", " ").split())[:40]
    if moment := iso_time(text) or hl7_time(text):
        return moment
    for day in _DAYS:
        for clock in _CLOCKS:
            try:
                return datetime.strptime(text, f"{day}{clock}")
            except ValueError:
                continue
    return None
