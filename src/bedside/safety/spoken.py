"""Speech as it would be written: numbers, ordinals, years and email addresses, so that one set of patterns reads what was typed and what was said.

oh four one two triple five one two three     0412555123
the third of march nineteen sixty two         the 3rd of march 1962
forty two wattle street                       42 wattle street
jo dot lee at example dot com                 jo.lee@example.com
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

_TOKEN = re.compile(r"[a-z]+|\d+")
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE_AFTER = re.compile(rf"\s(?:of\s(?:the\b|{_MONTHS})|{_MONTHS})")
_DATE_BEFORE = re.compile(rf"(?:(?:{_MONTHS})(?:\sthe)?|\dth of the|(?:st|nd|rd|th|day) of the|third of the|second of the|first of the)\s$")
_APOSTROPHES = ("'", "’")
_FILLERS = frozenset(("um", "uh", "er", "ah", "and"))


@dataclass(frozen=True, slots=True)
class View:
    """A text in which speech is written out.

    Attributes:
        text: the text to read.
        starts: where the changed pieces begin in `text`, ascending; for each, `pieces` holds its length there, and its place in the original.
        pieces: (length in `text`, start in the original, end in the original).
    """

    text: str
    starts: tuple[int, ...]
    pieces: tuple[tuple[int, int, int], ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original of `text[start:end]`; a changed piece counts whole."""
        return self._place(start, last=False), self._place(end - 1, last=True)

    def _place(self, place: int, *, last: bool) -> int:
        index = bisect_right(self.starts, place) - 1
        if index < 0:
            return place + last
        begin = self.starts[index]
        length, start, end = self.pieces[index]
        if place < begin + length:
            return end if last else start
        return end + (place - begin - length) + last


@dataclass(frozen=True)
class _Numerals:
    singles: dict[str, str]
    teens: dict[str, str]
    tens: dict[str, str]
    repeats: dict[str, int]
    ordinals: dict[str, str]
    all: frozenset[str]


@cache
def _numerals() -> _Numerals:
    words = yaml.safe_load(files("bedside.knowledge").joinpath("numerals.yaml").read_text(encoding="utf-8"))
    every = frozenset(word for group in words.values() for word in group) | {"hundred", "thousand"}
    return _Numerals(
        words["singles"],
        words["teens"],
        words["tens"],
        words["repeats"],
        words["ordinals"],
        every | {f"{word}s" for word in words["singles"]},
    )


_EMAIL = re.compile(
    r"\b(?:[a-z0-9_]+\s+(?:dot|underscore|dash|hyphen)\s+){0,4}[a-z0-9_.-]+\s+at\s+(?:[a-z0-9-]+\s+dot\s+){1,4}(?:com|net|org|edu|gov|id|au|nz|uk|io)\b(?:\s+dot\s+[a-z]{2}\b)?",
    re.IGNORECASE,
)
_MARKS = (
    (re.compile(r"\s+(?:dot|point)\s+", re.I), "."),
    (re.compile(r"\s+underscore\s+", re.I), "_"),
    (re.compile(r"\s+(?:dash|hyphen)\s+", re.I), "-"),
    (re.compile(r"\s+at\s+", re.I), "@"),
)
_WEB = re.compile(r"\b(?:w\s*w\s*w|double\s?u\s+double\s?u\s+double\s?u|www)\s+dot\s+[a-z0-9-]+(?:\s+dot\s+[a-z]{2,})+\b", re.IGNORECASE)


def written(text: str) -> View:
    """`text` with what was spoken written out."""
    lower = text.lower()
    if len(lower) != len(text):
        return View(text, (), ())
    changes = [(start, end, _number(lower[start:end])) for start, end in _runs(lower) if not _no_date(lower, start, end)]
    if " dot " in lower:
        for match in (*_EMAIL.finditer(text), *_WEB.finditer(text)):
            inside = match.group()
            for pattern, mark in _MARKS:
                inside = pattern.sub(mark, inside)
            changes = [one for one in changes if one[1] <= match.start() or one[0] >= match.end()]
            changes.append((match.start(), match.end(), re.sub(r"\s+", "", inside)))
    parts: list[str] = []
    starts: list[int] = []
    pieces: list[tuple[int, int, int]] = []
    done = length = 0
    for start, end, instead in sorted(changes):
        if start < done or instead == lower[start:end]:
            continue
        parts += (text[done:start], instead)
        starts.append(length + start - done)
        length = starts[-1] + len(instead)
        pieces.append((len(instead), start, end))
        done = end
    parts.append(text[done:])
    return View("".join(parts), tuple(starts), tuple(pieces))


def _runs(lower: str) -> Iterator[tuple[int, int]]:
    """Where number words stand together, fillers such as "um" between them allowed."""
    every = _numerals().all
    begin = end = last = -1
    for match in _TOKEN.finditer(lower):
        word, start = match.group(), match.start()
        spoken = word in every and lower[match.end() : match.end() + 1] not in _APOSTROPHES  # four o'clock, o'brien
        if not spoken and begin < 0:
            continue
        joins = begin >= 0 and lower[last:start].strip(" -") == "" and start > last
        if joins and (spoken or word.isdigit()):
            end = match.end()
        elif not (joins and word in _FILLERS):
            if begin >= 0:
                yield begin, end
            begin, end = (start, match.end()) if spoken and not lower[start - 1 : start].isalnum() else (-1, -1)
        last = match.end()
    if begin >= 0:
        yield begin, end


def _no_date(lower: str, start: int, end: int) -> bool:
    """Whether the run is one ordinal ("first name", "a second opinion") with no date about it."""
    word = lower[start:end]
    return word in _numerals().ordinals and not (_DATE_AFTER.match(lower, end) or _DATE_BEFORE.search(lower, max(0, start - 16), start))


def _number(run: str) -> str:
    """Number words as digits: single digits stick together, larger numbers stand apart, years and ordinals become one number."""
    words = [word for word in re.split(r"[\s-]+", run) if word not in ("um", "uh", "er", "ah")]
    if all(word in ("o", "oh", "zero", "and") or word in _numerals().repeats for word in words):
        return run
    return " ".join(_glued(_groups(words)))


def _groups(words: list[str]) -> list[tuple[str, str]]:
    """(digits, kind) of each number word; kind is `single`, `pair`, `tens`, `hundred`, `thousand`, `ordinal` or `whole`."""
    table = _numerals()
    groups: list[tuple[str, str]] = []
    repeat, added = 1, False
    for word in words:
        last, kind = groups[-1] if groups else ("", "")
        adds = kind == "thousand" or (kind == "hundred" and added)
        single = table.singles.get(word) or table.singles.get(word.removesuffix("s"))
        pair = table.teens.get(word) or table.tens.get(word)
        if word == "and" or word in table.repeats:
            added, repeat = word == "and", table.repeats.get(word, 1)
            continue
        if word in ("hundred", "thousand"):
            groups[-1:] = [((last or "1") + ("00" if word == "hundred" else "000"), word)]
        elif word in table.ordinals:
            value = table.ordinals[word]
            if kind == "tens" and len(value) == 1:
                groups.pop()
                value = last[0] + value
            groups.append((value + _ending(value), "ordinal"))
        elif single and kind == "tens" and repeat == 1 and single != "0":
            groups[-1] = (last[:-1] + single, "pair")
        elif adds and repeat == 1 and (single or pair):
            more = single or pair or ""
            groups[-1] = (last[: -len(more)] + more, "tens" if word in table.tens else "whole")
        elif single or pair:
            groups.append(((single or pair or "") * repeat, "single" if single else "tens" if word in table.tens else "pair"))
        else:
            groups.append((word, "single" if len(word) == 1 else "whole"))
        repeat, added = 1, False
    return groups


def _glued(groups: list[tuple[str, str]]) -> list[str]:
    out: list[str] = []
    kinds: list[str] = []
    for digits, kind in groups:
        before = kinds[-1] if kinds else ""
        century = bool(out) and out[-1] in ("19", "20") and before in ("pair", "tens")
        if century and kind in ("pair", "tens"):
            out[-1], kinds[-1] = out[-1] + digits, "whole"
        elif kind in ("single", "hundred") and before in ("single", "hundred"):
            out[-1] += digits
            # "nineteen oh five" is a year.
            if len(out) > 1 and out[-2] in ("19", "20") and out[-1][0] == "0" and len(out[-1]) == 2:
                out[-2:], kinds[-2:] = [out[-2] + out[-1]], ["whole"]
        else:
            out.append(digits)
            kinds.append(kind)
    return out


def _ending(value: str) -> str:
    if value.endswith(("11", "12", "13")):
        return "th"
    return {"1": "st", "2": "nd", "3": "rd"}.get(value[-1], "th")
