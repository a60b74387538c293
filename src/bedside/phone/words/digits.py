"""Telephone and Medicare numbers as they are said."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bedside.knowledge.identifiers import is_valid
from bedside.phone.words.plain import plain

_BETWEEN = r"(?:[\s,.\-]|\b(?:um|uh|er|ah|then|and|that's)\b)*"
_RUN = re.compile(rf"\+?\d(?:{_BETWEEN}\d)*")
_ZEROS = re.compile(r"\b(?:(double|triple|treble)\s)?(?:zero|oh|o|nought|naught)\b")
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_NATIONAL = re.compile(r"0[23478]\d{8}|1[38]00\d{6}|13\d{4}")
_SUBSCRIBER = re.compile(r"[2-9]\d{7}")


def digit_runs(text: str) -> list[str]:
    """Every run of digits of a turn; pauses and fillers do not end one, other words do."""
    said = _ZEROS.sub(lambda match: "0" * _TIMES.get(match[1], 1), plain(text))
    return [re.sub(r"\D", "", run) for run in _RUN.findall(said)]


def phone_number(text: str, area: str = "") -> str | None:
    """The Australian telephone number in a turn as it is dialled here ("0412555123"), leading 0 kept; the last, where one is corrected.

    Args:
        area: the practice's area code, such as "02", which callers leave off local numbers; empty: such numbers are not taken.
    """
    found = None
    for digits in digit_runs(text):
        national = re.sub(r"^(?:0011)?61(?=[23478]\d{8}$)", "0", digits)
        if area and _SUBSCRIBER.fullmatch(national):
            national = area + national
        if _NATIONAL.fullmatch(national):
            found = national
    return found


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
