"""Identifiers: how they look (`identifiers.yaml`) and their check digits."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, cached_property

from pydantic import model_validator

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import Fact, built_in

_PROVIDER_LOCATIONS = "0123456789ABCDEFGHJKLMNPQRTUVWXY"
_PROVIDER_CHECKS = "YXWTLKJHFBA"
_PARTING = re.compile(r"[\s\-]+")


class Identifier(Fact):
    """One kind of identifier; the fields are explained at the top of `identifiers.yaml`."""

    name: str
    format: str
    check: str | None
    rule: str
    collect: bool
    system: str | None = None
    note: str | None = None
    valid: tuple[str, ...]
    invalid: tuple[str, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """`format`, compiled; digits are ASCII digits."""
        return re.compile(self.format, re.ASCII)

    @model_validator(mode="after")
    def _check_exists(self) -> Identifier:
        if self.check is not None and self.check not in _CHECKS:
            raise ValueError(f"check {self.check!r} is none of {', '.join(_CHECKS)}")
        return self


@cache
def identifiers() -> dict[str, Identifier]:
    """All kinds of identifiers by id."""
    return {fact.id: fact for fact in built_in(Identifier, "identifiers.yaml")}


def is_valid(kind: str, text: str) -> bool:
    """Whether `text` is an identifier of that kind: format and check digit. Spaces, hyphens and the case of letters do not matter.

    One wrong digit is always noticed among the first nine of a Medicare card, in the stem of a provider number, and in the numbers with
    Luhn, TFN and ABN checks. A card's issue number and a CRN's letter are protected by nothing.

    Raises:
        KnowledgeError: no such kind of identifier.
    """
    if kind not in identifiers():
        raise KnowledgeError(f"{kind!r} is no kind of identifier", f"Use one of {', '.join(identifiers())}")
    identifier = identifiers()[kind]
    plain = _PARTING.sub("", text).upper()
    return bool(identifier.pattern.fullmatch(plain)) and (identifier.check is None or _CHECKS[identifier.check](plain))


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _medicare(number: str) -> bool:
    return _weighted(number[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(number[8])


def _luhn(number: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _dva(number: str) -> bool:
    return len(number) in (8, 9)


def _provider(number: str) -> bool:
    stem = number[:-2].zfill(6)
    total = _weighted(stem, (3, 5, 8, 4, 2, 1)) + 6 * _PROVIDER_LOCATIONS.index(number[-2])
    return _PROVIDER_CHECKS[total % 11] == number[-1]


def _tfn(number: str) -> bool:
    return _weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)[: len(number)]) % 11 == 0


def _abn(number: str) -> bool:
    return (_weighted(number, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0


_CHECKS: dict[str, Callable[[str], bool]] = {
    "medicare": _medicare,
    "luhn": _luhn,
    "dva": _dva,
    "provider": _provider,
    "tfn": _tfn,
    "abn": _abn,
}
