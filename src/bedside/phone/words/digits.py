"""Telephone and Medicare numbers as they are said, and as speech recognition writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from bedside.knowledge.identifiers import is_valid
from bedside.phone.words.plain import plain, table

_BETWEEN = r"(?:[\s,.\-]|\b(?:um|uh|er|ah|then|and|that's)\b)*"
_RUN = re.compile(rf"\+?\d(?:{_BETWEEN}\d)*")
_ZEROS = re.compile(r"\b(?:(double|triple|treble)\s)?(?:zero|oh|o|nought|naught)\b")
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_NATIONAL = re.compile(r"0[23478]\d{8}|1[38]00\d{6}|13\d{4}")
_SUBSCRIBER = re.compile(r"[2-9]\d{7}")
_WITHOUT_ZERO = re.compile(r"^(?:(?:0011)?61(?=[23478]\d{8}$)|(?=4\d{8}$))")
"""What stands in place of the leading 0: the country's code, or nothing where the 0 of a mobile number was not heard."""
_GROUPS = {"04": (4, 3, 3), "0": (2, 4, 4)}


def digit_runs(text: str) -> list[str]:
    """Every run of digits of a turn; pauses and fillers do not end one, other words do."""
    said = _ZEROS.sub(lambda match: "0" * _TIMES.get(match[1], 1), plain(text))
    return [re.sub(r"\D", "", run) for run in _RUN.findall(_repaired(said))]


def phone_number(text: str, area: str = "") -> str | None:
    """The Australian telephone number in a turn as it is dialled here ("0412555123"), leading 0 kept; the last, where one is corrected.

    Where no run of digits is a number and all of them together are, as in "oh four nine one, the rest is …", that one is meant.

    Args:
        area: the practice's area code, such as "02", which callers leave off local numbers; empty: such numbers are not taken.
    """
    runs = digit_runs(text)
    found = [number for digits in runs if (number := _national(digits, area))]
    return found[-1] if found else _national("".join(runs), "")


def whole_number(keys: str) -> bool:
    """Whether keys pressed so far are a telephone number of ten digits, so that no hash key need be waited for."""
    return len(keys) == 10 and bool(_NATIONAL.fullmatch(keys))


def grouped(digits: str) -> str:
    """A number in the groups in which people say it: 0491 570 156, 02 5550 1234, and 2950 34179 1 for a Medicare card."""
    sizes = next((sizes for start, sizes in _GROUPS.items() if digits.startswith(start)), (4, 5, 1, 1))
    groups, rest = [], digits
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    return " ".join(filter(None, groups))


def _national(digits: str, area: str) -> str | None:
    national = _WITHOUT_ZERO.sub("0", digits)
    if area and _SUBSCRIBER.fullmatch(national):
        national = area + national
    return national if _NATIONAL.fullmatch(national) else None


def _repaired(said: str) -> str:
    """Words that sound like digits, as digits where they stand beside one: "0491 570 won 56"."""
    words = said.split()
    for at, word in enumerate(words):
        beside = [words[other][:1] for other in (at - 1, at + 1) if 0 <= other < len(words)]
        if word in _sounds() and any(map(str.isdigit, beside)):
            words[at] = _sounds()[word]
    return " ".join(words)


@cache
def _sounds() -> dict[str, str]:
    return {word: digit for digit, words in table("digits.yaml").items() for word in words}


@dataclass(frozen=True, slots=True)
class MedicareCard:
    """A Medicare number of ten digits with a right check digit, and the line on the card where it was said."""

    number: str
    reference: str | None


def medicare_number(text: str) -> MedicareCard | None:
    """The Medicare number in a turn, with its reference number where one follows; None where the check digit is wrong."""
    digits = "".join(digit_runs(re.sub(r"(?i)\b(?:reference|position|line|issue|individual|number|irn)\b", " ", text)))
    if len(digits) not in (10, 11) or not is_valid("id.medicare", digits):
        return None
    return MedicareCard(digits[:10], digits[10:] or None)
