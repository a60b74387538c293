"""A second look at redacted records by other means than those that redacted them, and canaries: planted people who must not survive."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bedside.corpus.deidentify.data import read_yaml
from bedside.safety.text import fold

_NUMBER_WORD = r"(?:oh|zero|one|two|three|four|five|six|seven|eight|nine|double|triple|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
_LOOKS = {
    "long_number": re.compile(r"(?<![\d.])\d(?:[ \-()/]?\d){5,}(?![\d.])"),
    "spoken_number": re.compile(rf"\b{_NUMBER_WORD}(?:[\s,]+{_NUMBER_WORD}){{4,}}\b", re.IGNORECASE),
    "name_after_cue": re.compile(
        r"\b(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof)\.? |(?i:my name is|surname is|surname:|patient name:|next of kin:) ?)(?!\[)[A-Za-z][a-z'’\-]+"
    ),
    "address": re.compile(r"\b\d+[a-z]? (?:[A-Z][a-z]+ ){1,2}(?:Street|St|Road|Rd|Avenue|Ave|Drive|Court|Crescent|Lane|Parade|Close)\b"),
    "date": re.compile(
        r"\b\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}\b|\b\d{1,2}(?:st|nd|rd|th)? (?:of )?(?:January|February|March|April|June|July|August|September|October|November|December)\b",
        re.IGNORECASE,
    ),
    "email_or_url": re.compile(r"\S@\S|https?://|\bwww\."),
}


@dataclass(frozen=True, slots=True)
class Leak:
    """Something left that may tell who somebody is; never the words themselves.

    Attributes:
        record: id of the record.
        kind: which look found it, or `canary`.
        start: of its first character in the redacted text.
        end: one past its last.
    """

    record: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What the second look found.

    Attributes:
        records: how many were looked at.
        leaks: all of them, in order.
        canaries: how many were looked for.
    """

    records: int
    leaks: tuple[Leak, ...]
    canaries: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Leaks by kind, most frequent first."""
        return dict(Counter(leak.kind for leak in self.leaks).most_common())

    @property
    def passed(self) -> bool:
        """Whether no canary survived and no record holds a leak."""
        return not self.leaks


@dataclass(frozen=True, slots=True)
class Canary:
    """An invented person planted in one record.

    Attributes:
        record: id of the record.
        secrets: name, telephone and Medicare number, as they stand in the text.
    """

    record: str
    secrets: tuple[str, ...] = field(default=())


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = read_yaml("canaries.yaml")
    return table


def audit(records: Iterable[tuple[str, str]], canaries: Sequence[Canary] = ()) -> Audit:
    """Look at redacted records again.

    Args:
        records: id and redacted text.
        canaries: what `plant` planted before redaction; a secret that still stands anywhere is a leak.
    """
    secrets = [_bare(secret) for canary in canaries for secret in canary.secrets]
    leaks: list[Leak] = []
    looked_at = 0
    for record, text in records:
        looked_at += 1
        for kind, look in _LOOKS.items():
            leaks += (Leak(record, kind, *match.span()) for match in look.finditer(text))
        bare = _bare(text)
        leaks += (Leak(record, "canary", 0, len(text)) for secret in secrets if secret in bare)
    return Audit(looked_at, tuple(leaks), len(canaries))


def plant(records: Sequence[tuple[str, str]], count: int, seed: int) -> tuple[list[tuple[str, str]], tuple[Canary, ...]]:
    """Copies of `records` in which `count` of them, drawn by `seed`, end with a sentence about somebody invented whom no other record names."""
    draw = random.Random(seed)
    planted = dict(records)
    canaries = []
    for record in draw.sample([record for record, _ in records], min(count, len(records))):
        name = " ".join("".join(draw.choice(_table()["syllables"]) for _ in range(3)).capitalize() for _ in range(2))
        phone, medicare = draw.choice(_table()["phones"]), draw.choice(_table()["medicare"])
        sentence = draw.choice(_table()["sentences"]).format(name=name, phone=phone, medicare=medicare)
        planted[record] = f"{planted[record]} {sentence}"
        canaries.append(Canary(record, tuple(secret for secret in (name, phone, medicare) if secret in sentence)))
    return list(planted.items()), tuple(canaries)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", fold(text)[0])
