"""Invented people, places and numbers in place of those found: the same throughout a record, and nobody's (`data/surrogates.yaml`)."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable
from functools import cache
from typing import Any

from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.places import state_of
from bedside.corpus.deidentify.shifting import shifted
from bedside.corpus.deidentify.spans import Span, kinds
from bedside.corpus.deidentify.words import GIVEN, SURNAME, bits_of, sexes
from bedside.knowledge.identifiers import identifiers
from bedside.safety.spoken import written
from bedside.safety.text import fold

_NAME_PART = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]{2,})*")
_MOST_DAYS = 364


@cache
def _pools() -> dict[str, Any]:
    pools: dict[str, Any] = read_yaml("surrogates.yaml")
    return pools


class Surrogates:
    """What stands in for the spans of one record.

    The same person, street or number is the same invented one each time, also where only a part of a name is said ("Smith", "s m i t h"), and
    dates move by one number of days, so that the time between two of them stays.

    Args:
        seed: of the whole corpus; with another seed everything is replaced by something else.
        record: id of the record; nothing ties the surrogates of two records together.
    """

    def __init__(self, seed: int, record: str) -> None:
        self._key = f"{seed}:{record}"
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        draw = random.Random(f"{self._key}:days")
        self.days = draw.choice((-1, 1)) * draw.randint(30, _MOST_DAYS)

    def replace(self, text: str, spans: Iterable[Span]) -> str:
        """`text` with a surrogate in place of each span. It may be called for one part of the record after the other."""
        ordered = sorted(spans, key=lambda span: span.start)
        names = [_in_order(text[span.start : span.end]) for span in ordered if span.type == "NAME"]
        self._taken |= {part.lower() for name in names for part in name}
        for name in sorted(names, key=len, reverse=True):
            self._learn([_key(part) for part in name])
        parts: list[str] = []
        done = 0
        for span in ordered:
            parts += (text[done : span.start], self._for(span.type, text[span.start : span.end]))
            done = span.end
        return "".join((*parts, text[done:]))

    def _learn(self, name: list[str]) -> None:
        """Choose surrogates for the parts of a name: the last of several is a surname, one alone what the gazetteers say."""
        if len(name) > 2 and all(len(part) == 1 for part in name):
            name = ["".join(name)]
        for place, part in enumerate(name):
            if part not in self._names and len(part) > 1:
                alone_surname = len(name) == 1 and bits_of(part) & SURNAME and not bits_of(part) & GIVEN
                family = (place == len(name) - 1 and len(name) > 1) or bool(alone_surname)
                pool = _pools()["surnames"] if family else _pools()["given_names"][sexes().get(part, "u")]
                self._names[part] = self._draw(part, [one for one in pool if one.lower() not in self._taken] or pool)
                self._taken.add(self._names[part].lower())

    def _draw(self, what: str, pool: list[str]) -> str:
        return random.Random(f"{self._key}:{what}").choice(pool)

    def _for(self, type_: str, old: str) -> str:
        if type_ == "NAME":
            new = self._name(old)
        elif type_ in ("DATE", "DATE_OF_BIRTH"):
            new = shifted(written(old).text, self.days) or f"[{type_}]"
        elif type_ == "AGE":
            new = "90"
        elif type_ in _PLAIN:
            new = _PLAIN[type_](self, old)
        else:
            new = self._number(type_, written(old).text)
        return new.lower() if old.islower() and not new.startswith("[") else new

    def _name(self, old: str) -> str:
        parts = _NAME_PART.findall(old)
        if len(parts) > 2 and sum(len(part) == 1 for part in parts) > len(parts) / 2:
            spelled = "".join(part for part in map(_key, parts) if len(part) == 1)
            return " ".join(self._names.get(spelled, self._draw(spelled, _pools()["surnames"])).lower())
        return _NAME_PART.sub(lambda part: self._part(part.group()), old)

    def _part(self, part: str) -> str:
        new = self._names.get(_key(part)) or self._draw(part.lower(), list(string.ascii_uppercase))
        return new.upper() if part.isupper() and len(part) > 1 else new if part[0].isupper() else new.lower()

    def _address(self, old: str) -> str:
        code, state = state_of(written(old).text)
        street = f"{random.Random(f'{self._key}:{old.lower()}').randint(1, 99)} {self._draw(old.lower(), _pools()['streets'])}"
        if not any(letter.isalpha() for letter in written(old).text):
            return code or street
        return " ".join(filter(None, (f"{street}, {self._location(old)}", state, code)))

    def _location(self, old: str) -> str:
        return self._draw(f"place {old.lower()}", _pools()["localities"])

    def _facility(self, old: str) -> str:
        return f"{self._location(old)} {old.split()[-1]}"

    def _phone(self, old: str) -> str:
        said = written(old).text
        digits = re.sub(r"^\+?61", "0", re.sub(r"[^\d+]", "", said))
        pools = _pools()
        if digits.startswith(("1800", "1300", "13")):
            new = self._draw(digits, pools["freephones" if digits.startswith("18") else "local_rate"])
        elif digits[:2] in ("02", "03", "07", "08"):
            new = digits[:2] + self._draw(digits, pools["landline_blocks"]) + f"{random.Random(self._key + digits).randrange(10000):04}"
        else:
            new = self._draw(digits, pools["mobiles"])
        return _poured(new, said) if len(new) == sum(letter.isdigit() for letter in said) else new

    def _number(self, type_: str, old: str) -> str:
        """A number with a check digit becomes an example with a good one; any other becomes random digits and letters of the same look."""
        kind = kinds()[type_].identifier
        plain = re.sub(r"[^0-9A-Za-z]", "", old)
        if kind:
            new = self._draw(plain.lower(), list(identifiers()[kind].valid))
            return _poured(new, old) if len(new) == len(plain) else new
        draw = random.Random(f"{self._key}:{plain.lower()}")
        return _poured("".join(draw.choice(string.digits if letter.isdigit() else string.ascii_uppercase) for letter in plain), old)

    def _email(self, old: str) -> str:
        return f"person{random.Random(self._key + old.lower()).randrange(1000)}@example.com"

    def _url(self, old: str) -> str:
        return f"https://example.org/{random.Random(self._key + old.lower()).randrange(1000)}"

    def _ip(self, old: str) -> str:
        return f"192.0.2.{random.Random(self._key + old.lower()).randrange(1, 255)}"


_PLAIN = {
    "ADDRESS": Surrogates._address,
    "LOCATION": Surrogates._location,
    "FACILITY": Surrogates._facility,
    "PHONE": Surrogates._phone,
    "FAX": Surrogates._phone,
    "EMAIL": Surrogates._email,
    "URL": Surrogates._url,
    "IP": Surrogates._ip,
}


def _in_order(name: str) -> list[str]:
    """The parts of a name, the surname last ("SMITH, John" has it first)."""
    before, comma, behind = name.partition(",")
    return _NAME_PART.findall(f"{behind} {before}" if comma else name)


def _key(part: str) -> str:
    """A part of a name as it is compared."""
    return fold(part)[0].replace("'", "")


def _poured(new: str, shape: str) -> str:
    """The letters and digits of `new` in the places of those of `shape`."""
    source = iter(new)
    return "".join(next(source, "") if letter.isalnum() else letter for letter in shape)
