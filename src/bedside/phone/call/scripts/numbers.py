"""A number that identifies: what was heard is read back digit by digit, what was keyed in is taken as it is, and speech that fails twice gives
way to keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bedside.phone.call.dialogue import Answer, Ask, PersonNeededError, Script, read_yes_no
from bedside.phone.call.events import ListenKind
from bedside.phone.words.digits import digit_runs, grouped
from bedside.phone.words.plain import folded, phrases
from bedside.safety.numbers import aloud

T = TypeVar("T")

_SOME = 3
"""Digits from which an answer counts as a number that was not heard to its end."""
Read = Callable[[str], tuple[T, str] | None]
"""From words to what they identify, and the digits of it that have to be heard right; "" for none."""


def ask_number(first: str, other: str, read: Read[T], kind: ListenKind) -> Script[T]:
    """Ask for a number, again where it was not heard right, and at last for its keys.

    Args:
        first: the question.
        other: asked where the answer held no number at all: another identifier, for people who do not have the first.
        kind: of the first answer.

    Raises:
        PersonNeededError: neither speech nor keys gave a number.
    """
    prompt = first
    for _ in range(3):
        answer: Answer = yield Ask(prompt, {}, kind)
        found = read(answer.key or answer.text)
        if found is not None:
            value, digits = found
            if not digits or answer.key or answer.confidence == 1 or (yield from _right(digits)):
                return value
        prompt, kind = _next(prompt, answer, other), "number"
    raise PersonNeededError(f"could not understand the answer to {first}")


def _right(digits: str) -> Script[bool]:
    """Read digits back, once more where the answer was neither yes nor no; anything but a yes means that they were heard wrongly."""
    for _ in range(2):
        answer: Answer = yield Ask("number.read_back", {"number": aloud(grouped(digits))}, "yes_no")
        if (right := read_yes_no(answer)) is not None:
            return right
    return False


def _next(asked: str, answer: Answer, other: str) -> str:
    """What to ask after an answer that gave no number: once more by voice, and then, or where the caller would rather, by keys."""
    if asked in ("number.again", other) or phrases("answers.yaml", "keys").search(folded(answer.text)):
        return "number.key"
    heard = max(map(len, digit_runs(answer.key or answer.text)), default=0)
    return "number.again" if heard >= _SOME else other
