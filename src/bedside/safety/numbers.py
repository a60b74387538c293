"""Numbers in a text, written or spoken, as the digits that somebody would dial or pay; and digits as they are read aloud."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SPOKEN = {word: str(value) for value, word in enumerate(_DIGITS)} | {"oh": "0", "o": "0", "nought": "0", "naught": "0"}
_SPOKEN |= {
    word: str(value)
    for value, word in enumerate(
        ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"), start=10
    )
}
_TENS = {
    word: str(value) for value, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), start=2)
}
_REPEATS = {"double": 2, "triple": 3, "treble": 3}
_ZEROS = {"hundred": "00", "thousand": "000"}
_LONGEST = 16  # groups of one known number, spoken digit by digit with a country code
_WORD = "|".join((*_SPOKEN, *_TENS, *_REPEATS, *_ZEROS))
_ANY_NUMBER = re.compile(rf"\d|\b(?:{_WORD})\b")
_DATE = re.compile(r"\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})(?!\d)")
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3])(?::[0-5]\d|\.[0-5]\d(?=\s?[ap]\.?m\b))(?![\d:])")
_GROUP = re.compile(rf"\d+(?:,\d{{3}})*(?:\.\d+)?|\b(?:{_WORD})\b")
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
)
_AFTER_MONTH = re.compile(rf"\b(?:{_MONTHS})\s+$")
_BEFORE_TIME = re.compile(
    r"\b(?:at|for|from|until|till|by|around|about|after|before|or|and|today|tomorrow|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\s+$"
)
_MONEY_BEFORE = re.compile(r"\$\s?$")
_MONEY_AFTER = re.compile(r"[\s-]?(?:dollars?|bucks?|cents?|aud)\b")
_ITEM = re.compile(r"\bitems?(?:\s+(?:number|no))?\s+$")


@dataclass(frozen=True, slots=True)
class Number:
    """One run of digits.

    Attributes:
        digits: what would be dialled; a fee keeps its decimal point.
        start: where it stands in the text that was read.
        end: one past its last character.
        money: whether it is an amount of money.
        item: whether it is called an item number.
    """

    digits: str
    start: int
    end: int
    money: bool
    item: bool

    @property
    def tells(self) -> bool:
        """Whether it can be a telephone number, fee or item number; counts, clock times and dates tell nothing."""
        return self.money or self.item or sum(letter.isdigit() for letter in self.digits) > 2


@dataclass(frozen=True, slots=True)
class _Group:
    text: str
    start: int
    end: int

    @property
    def written(self) -> bool:
        return self.text[0].isdigit()


def digits_of(number: str) -> str:
    """The digits of a telephone number as they are dialled within Australia, or of an amount with its decimal point."""
    plain = re.sub(r"[^\d.+]", "", number)
    return re.sub(r"^\+61", "0", plain).rstrip(".").removesuffix(".00")


def aloud(number: str) -> str:
    """A telephone number as it is read aloud, digit by digit, with a pause where it is grouped."""
    return ", ".join(" ".join(_DIGITS[int(digit)] for digit in group) for group in number.split())


def numbers(text: str, known: Collection[str] = ()) -> Iterator[Number]:
    """Every run of digits of `text` (lower case), clock times and dates left out.

    Args:
        text: folded text.
        known: digits of known numbers; a run is parted so that one which stands in it is found whole.
    """
    if not _ANY_NUMBER.search(text):
        return
    for run in _runs(text):
        yield from _parted(text, run, known)


def _runs(text: str) -> Iterator[list[_Group]]:
    run: list[_Group] = []
    place = 0
    while match := _GROUP.search(text, place):
        timely = _DATE.match(text, match.start()) or _CLOCK.match(text, match.start())
        group = _Group(match.group(), match.start(), match.end())
        if run and (timely or not _joined(run[-1], group, text)):
            yield run
            run = []
        if not timely:
            run.append(group)
        place = timely.end() if timely else match.end()
    if run:
        yield run


def _joined(left: _Group, right: _Group, text: str) -> bool:
    between = text[left.end : right.start]
    return not between.strip(" -().+" if left.written and right.written else " -,().+")


def _parted(text: str, run: list[_Group], known: Collection[str]) -> Iterator[Number]:
    first = 0
    rest: list[_Group] = []
    while first < len(run):
        last = next((end for end in range(min(len(run), first + _LONGEST), first, -1) if _value(run[first:end]) in known), None)
        if last is None:
            rest.append(run[first])
            first += 1
            continue
        yield from _one(text, rest)
        yield from _one(text, run[first:last])
        rest, first = [], last
    yield from _one(text, rest)


def _one(text: str, groups: list[_Group]) -> Iterator[Number]:
    if not groups or (len(groups) < 3 and all(group.text in ("o", "oh", *_REPEATS) for group in groups)):
        return
    start, end = groups[0].start, groups[-1].end
    before = text[max(0, start - 24) : start]
    money = bool(_MONEY_BEFORE.search(before) or _MONEY_AFTER.match(text, end))
    value = _value(groups)
    if not money and (_is_year(value, before) or _is_spoken_time(groups, before)):
        return
    yield Number(value, start, end, money, bool(_ITEM.search(before)))


def _is_year(value: str, before: str) -> bool:
    return len(value) == 4 and value[:2] in ("19", "20") and bool(_AFTER_MONTH.search(before))


def _is_spoken_time(groups: list[_Group], before: str) -> bool:
    words = [group.text for group in groups]
    hour = _SPOKEN.get(words[0], "")
    minutes = _value(groups[1:])
    return (
        1 < len(words) < 4
        and hour.isdigit()
        and 1 <= int(hour) <= 12
        and len(minutes) == 2
        and minutes < "60"
        and bool(_BEFORE_TIME.search(before))
    )


def _value(groups: list[_Group]) -> str:
    value = ""
    repeat = 1
    tens = False
    for group in groups:
        word = group.text
        if word in _REPEATS:
            repeat = _REPEATS[word]
            continue
        if tens and word in _SPOKEN and len(_SPOKEN[word]) == 1:
            value = value[:-1]  # twenty-five is 25, and not 20 and 5
        value += (word.replace(",", "") if group.written else _SPOKEN.get(word) or _ZEROS.get(word) or _TENS[word] + "0") * repeat
        tens, repeat = word in _TENS, 1
    return value.removesuffix(".00") if len(groups) == 1 else value
