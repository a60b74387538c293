"""Invented records with the places of everything that may tell who somebody is: templates and lists of `templates.yaml`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from bedside.knowledge.identifiers import is_valid

LISTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "templates.yaml").read_text(encoding="utf-8"))
_TITLES = {"titled": "Mrs ", "doctor": "Dr "}
_PLACE = re.compile(r"\{([A-Z_]+)(?:\.(\w+))?\}")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NTH = [
    "_",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


@dataclass(frozen=True)
class Made:
    """A record and its gold spans (start, end, type)."""

    id: str
    text: str
    gold: tuple[tuple[int, int, str], ...]
    spoken: bool


def records(count: int, seed: int) -> Iterator[Made]:
    """`count` records, half of them spoken."""
    draw = random.Random(seed)
    for number in range(count):
        spoken = bool(number % 2)
        yield _filled(f"{seed}-{number}", draw.choice(LISTS["spoken" if spoken else "written"]), draw, spoken)


def _filled(name: str, template: str, draw: random.Random, spoken: bool) -> Made:
    text, gold, done = "", [], 0
    person = (draw.choice(LISTS["given"]), draw.choice(LISTS["family"]))
    for place in _PLACE.finditer(template):
        type_, form = place.groups()
        value = _MAKERS[type_](draw, spoken) if type_ != "NAME" else _name(form, person, draw, spoken)
        text += template[done : place.start()] + _TITLES.get(form, "")
        gold.append((len(text), len(text) + len(value), type_))
        text += value
        done = place.end()
    return Made(name, text + template[done:], tuple(gold), spoken)


def _name(form: str, person: tuple[str, str], draw: random.Random, spoken: bool) -> str:
    given, family = person if draw.random() < 0.5 else (draw.choice(LISTS["given"]), draw.choice(LISTS["family"]))
    name = {
        "full": f"{given} {family}",
        "given": given,
        "family": family,
        "titled": family,
        "doctor": f"{given} {family}",
        "listed": f"{family.upper()}, {given}",
        "spelled": " ".join(family.lower().replace("-", "")),
    }[form]
    return name.lower() if spoken else name


def _pairs(number: int) -> str:
    tens, ones = divmod(number, 10)
    return _ONES[number] if number < 20 else _TENS[tens] + (f" {_ONES[ones]}" if ones else "")


def _ordinal(number: int) -> str:
    return _NTH[number] if number < 20 else {20: "twentieth", 30: "thirtieth"}.get(number) or f"{_TENS[number // 10]} {_NTH[number % 10]}"


def _aloud(digits: str, draw: random.Random) -> str:
    """Digits as they are said: "oh" for zero, "double" and "triple"."""
    said, place = [], 0
    while place < len(digits):
        run = 1
        while run < 3 and place + run < len(digits) and digits[place + run] == digits[place] and draw.random() < 0.7:
            run += 1
        word = (
            draw.choice(("oh", "zero"))
            if digits[place] == "0"
            else _ONES[int(digits[place])]
            if digits[place].isdigit()
            else digits[place].lower()
        )
        said.append(("", "double ", "triple ")[run - 1] + word)
        place += run
    return " ".join(said)


def _digits(draw: random.Random, count: int) -> str:
    return "".join(str(draw.randrange(10)) for _ in range(count))


def _valid(draw: random.Random, kind: str, make: Callable[[], str]) -> str:
    return next(number for number in iter(make, None) if is_valid(kind, number))


def _day(draw: random.Random, spoken: bool, first: int, last: int) -> str:
    day = date(first, 1, 1) + timedelta(days=draw.randrange((last - first) * 365))
    month = _MONTHS[day.month - 1]
    if spoken:
        year = (
            f"{_pairs(day.year // 100)} {_pairs(day.year % 100) if day.year % 100 > 9 else 'oh ' + _ONES[day.year % 100]}"
            if day.year < 2000
            else f"two thousand and {_pairs(day.year % 100)}"
        )
        return draw.choice(
            (
                f"{_ordinal(day.day)} of {month.lower()} {year}",
                f"{month.lower()} {_ordinal(day.day)} {year}",
                f"{_ordinal(day.day)} of the {_ordinal(day.month)} {year}",
            )
        )
    return draw.choice(
        (
            f"{day:%d/%m/%Y}",
            f"{day.day}.{day.month}.{day.year}",
            f"{day.day} {month} {day.year}",
            f"{day.day}{_ordinal_mark(day.day)} of {month[:3]} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{day:%d-%b-%Y}",
            f"{day:%Y-%m-%d}",
            f"{day:%d/%m/%y}",
        )
    )


def _ordinal_mark(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _address(draw: random.Random, spoken: bool) -> str:
    street, number = draw.choice(LISTS["streets"]), draw.randrange(1, 200)
    place = draw.choice(LISTS["places"] + LISTS["coined"])
    state, first = draw.choice(list(LISTS["states"].items()))
    code = first + _digits(draw, 3)
    if spoken:
        said = f"one hundred and {_pairs(number - 100)}" if number > 100 else _pairs(number) if number < 100 else "one hundred"
        known = draw.choice(LISTS["places"])
        return f"{draw.choice(('', 'unit three '))}{said} {street} {known}{draw.choice(('', f' {_aloud(code, draw)}'))}".lower()
    if draw.random() < 0.1:
        return f"PO Box {number}, {place} {state} {code}"
    return f"{draw.choice(('', '', f'Unit {number % 9 + 1}, ', f'{number % 9 + 1}/'))}{number} {street}, {place} {state} {code}"


def _phone(draw: random.Random, spoken: bool) -> str:
    mobile = "0491570" + draw.choice(("006", "156", "157", "158", "159", "110", "313", "737"))
    landline = draw.choice(("02", "03", "07", "08")) + draw.choice(("5550", "7010")) + _digits(draw, 4)
    number = draw.choice((mobile, landline))
    if spoken:
        return _aloud(number, draw)
    if number == mobile:
        return draw.choice((number, f"{number[:4]} {number[4:7]} {number[7:]}", f"+61 {number[1:4]} {number[4:7]} {number[7:]}"))
    return draw.choice((f"({number[:2]}) {number[2:6]} {number[6:]}", f"{number[:2]} {number[2:6]} {number[6:]}"))


def _medicare(draw: random.Random, spoken: bool) -> str:
    stem = draw.choice("23456") + _digits(draw, 7)
    number = _valid(draw, "id.medicare", lambda: stem + str(draw.randrange(10)) + "1")
    return (
        _aloud(number, draw)
        if spoken
        else draw.choice((number, f"{number[:4]} {number[4:9]} {number[9]}", f"{number[:4]} {number[4:9]} {number[9]} / 2"))
    )


def _email(draw: random.Random, spoken: bool) -> str:
    given, family = draw.choice(LISTS["given"]).lower(), draw.choice(LISTS["family"]).lower().replace("-", "")
    return f"{given} dot {family} at example dot com" if spoken else f"{given}.{family}{draw.randrange(99)}@example.com"


def _either(number: str, draw: random.Random, spoken: bool) -> str:
    return _aloud(number, draw) if spoken else number


_Maker = Callable[[random.Random, bool], str]
_MAKERS: dict[str, _Maker] = {
    "ADDRESS": _address,
    "LOCATION": lambda draw, spoken: draw.choice(LISTS["places"]).lower() if spoken else draw.choice(LISTS["places"]),
    "FACILITY": lambda draw, spoken: draw.choice(LISTS["facilities"]).lower() if spoken else draw.choice(LISTS["facilities"]),
    "DATE_OF_BIRTH": lambda draw, spoken: _day(draw, spoken, 1930, 2020),
    "DATE": lambda draw, spoken: _day(draw, spoken, 2019, 2026),
    "AGE": lambda draw, spoken: _pairs(draw.randrange(90, 100)) if spoken else str(draw.randrange(90, 105)),
    "PHONE": _phone,
    "EMAIL": _email,
    "MEDICARE": _medicare,
    "IHI": lambda draw, spoken: _valid(draw, "id.ihi", lambda: "800360" + _digits(draw, 10)),
    "PROVIDER_NUMBER": lambda draw, spoken: _valid(
        draw, "id.provider", lambda: _digits(draw, 6) + draw.choice("0123456789ABCDEF") + draw.choice("YXWTLKJHFBA")
    ),
    "TFN": lambda draw, spoken: "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]} {0[6]}{0[7]}{0[8]}".format(
        _valid(draw, "id.tfn", lambda: _digits(draw, 9))
    ),
    "ABN": lambda draw, spoken: _valid(draw, "id.abn", lambda: "5" + _digits(draw, 10)),
    "DVA": lambda draw, spoken: _either(draw.choice("NVQWST") + "X" + _digits(draw, 6), draw, spoken),
    "CRN": lambda draw, spoken: _either(_digits(draw, 9) + draw.choice("ABCHJKLSTVX"), draw, spoken),
    "AHPRA": lambda draw, spoken: "MED000" + _digits(draw, 7),
    "MRN": lambda draw, spoken: _digits(draw, 7),
    "HEALTH_FUND": lambda draw, spoken: _digits(draw, 8),
    "LICENCE": lambda draw, spoken: _digits(draw, 8),
    "DEVICE": lambda draw, spoken: draw.choice(("RNB", "PJN", "BLC")) + _digits(draw, 6) + "H",
    "VEHICLE": lambda draw, spoken: (
        f"{draw.choice(('BQX', 'CKR', 'DZL'))}{draw.choice((' ', '-', ''))}{draw.randrange(10)}{draw.randrange(10)}{draw.choice('ABHJ')}"
    ),
}
