"""Rates of the triage rules on the judging bank (see bank/README.md): what they miss, and what they send too high.

`python tests/safety/test_bank.py [test] [check]` prints the rates of all parts, counts per red flag, style and trap, and the misses of
the parts named (`test` if none is). The misses of the blind part are never printed: whoever has read one can no longer measure on it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz import fuzz, process

BANK = Path(__file__).parent / "bank"
PARTS = ("test", "check")
NAMES = ("emergencies", "benign", "vignettes", "blind")
# What the rules reach today, so that no change makes them worse unnoticed. The goals are 0.99 and 0.03 on both parts; these numbers only
# ever move towards them. The rows told-… and asked-… came later and are harder; without them `check` reaches 0.916 and 0.081.
RECOGNISED = {"test": 0.992, "check": 0.913}
FALSE_EMERGENCIES = {"test": 0.034, "check": 0.095}
BLIND_RECOGNISED = 0.952
BLIND_FALSE = 0.132
URGENCY = ("E000", "E_CRISIS", "E_POISON", "ED_NOW", "NURSE_NOW", "HUMAN", "SAME_DAY", "SOON", "ROUTINE", "ADMIN")
EMERGENCY = frozenset(URGENCY[:5])
RED_FLAGS = frozenset(
    f"RF{number:02d}"
    for first, last in ((1, 7), (10, 18), (20, 29), (30, 35), (40, 46), (50, 55), (60, 67))
    for number in range(first, last + 1)
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One wording of the bank and what the rules made of it."""

    row: Row
    disposition: str
    red_flags: tuple[str, ...]

    @property
    def urgent(self) -> bool:
        """Whether a human acts on it now. Only where the protocol itself asks for a person is `HUMAN` enough."""
        return self.disposition in EMERGENCY or self.disposition == self.row["disposition"] == "HUMAN"

    @property
    def too_low(self) -> bool:
        """Whether it was sent below its label."""
        return URGENCY.index(self.disposition) > URGENCY.index(self.row["disposition"])

    @property
    def wrong(self) -> bool:
        return self.urgent != should_be_urgent(self.row)


def should_be_urgent(row: Row) -> bool:
    return row["disposition"] in EMERGENCY or row["disposition"] == "HUMAN"


@cache
def rows(name: str) -> tuple[Row, ...]:
    return tuple(json.loads(line) for line in (BANK / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())


@cache
def outcomes(name: str) -> tuple[Outcome, ...]:
    from bedside.safety.triage import triage  # late: the bank can be checked without the rules

    found = ((row, triage(row["text"])) for row in rows(name))
    return tuple(Outcome(row, result.disposition, tuple(flag.id for flag in result.red_flags)) for row, result in found)


def part_of(name: str, part: str, *, urgent: bool) -> list[Outcome]:
    return [outcome for outcome in outcomes(name) if outcome.row["part"] == part and should_be_urgent(outcome.row) is urgent]


def share(of: Iterable[Outcome], when: Callable[[Outcome], bool]) -> float:
    found = [when(outcome) for outcome in of]
    return sum(found) / len(found)


def test_every_wording_is_labelled_once() -> None:
    everything = [row for name in NAMES for row in rows(name)]
    assert len({row["id"] for row in everything}) == len(everything)
    assert {row["disposition"] for row in everything} <= set(URGENCY)
    assert all(should_be_urgent(row) for row in rows("emergencies"))
    assert not any(should_be_urgent(row) for row in rows("benign"))
    assert len(rows("emergencies")) >= 1250
    assert sum(row["trap"] != "plain" for row in rows("benign")) >= 450


def test_every_red_flag_has_enough_wordings() -> None:
    counts = Counter(row["red_flag"] for row in rows("emergencies"))
    assert counts.keys() == RED_FLAGS
    assert min(counts.values()) >= 15


def test_no_wording_repeats_another() -> None:
    texts = [row["text"].lower() for name in NAMES for row in rows(name)]
    likeness = process.cdist(texts, texts, scorer=fuzz.ratio, score_cutoff=88, dtype=np.uint8)
    alike = [(texts[a], texts[b]) for a, b in np.argwhere(np.triu(likeness, 1))]
    assert not alike


@pytest.mark.parametrize(("part", "reached"), RECOGNISED.items())
def test_emergencies_are_recognised(part: str, reached: float) -> None:
    assert share(part_of("emergencies", part, urgent=True), lambda outcome: outcome.urgent) >= reached


@pytest.mark.parametrize(("part", "reached"), FALSE_EMERGENCIES.items())
def test_look_alikes_are_no_emergency(part: str, reached: float) -> None:
    assert share(part_of("benign", part, urgent=False), lambda outcome: outcome.urgent) <= reached


def test_the_blind_part() -> None:
    assert share(part_of("blind", "blind", urgent=True), lambda outcome: outcome.urgent) >= BLIND_RECOGNISED
    assert share(part_of("blind", "blind", urgent=False), lambda outcome: outcome.urgent) <= BLIND_FALSE


def test_the_blind_part_holds_every_red_flag_and_every_kind_of_look_alike() -> None:
    flags = Counter(row["red_flag"] for row in rows("blind") if should_be_urgent(row))
    assert flags.keys() == RED_FLAGS and min(flags.values()) >= 5
    traps = Counter(row["trap"] for row in rows("blind") if not should_be_urgent(row))
    assert traps.keys() == {row["trap"] for row in rows("benign")} and min(traps.values()) >= 15


def test_vignettes() -> None:
    both = [outcome for part in PARTS for outcome in part_of("vignettes", part, urgent=True)]
    assert share(both, lambda outcome: outcome.urgent) >= 0.95
    harmless = [outcome for part in PARTS for outcome in part_of("vignettes", part, urgent=False)]
    assert share(harmless, lambda outcome: outcome.urgent) <= 0.10


def print_rates(name: str, part: str) -> None:
    urgent, harmless = (part_of(name, part, urgent=wanted) for wanted in (True, False))
    if urgent:
        print(
            f"{name} {part}: {len(urgent)} urgent, recognised {share(urgent, lambda o: o.urgent):.3f},"
            f" sent too low {share(urgent, lambda o: o.too_low):.3f},"
            f" as labelled {share(urgent, lambda o: o.disposition == o.row['disposition']):.3f},"
            f" by the rule of its label {share(urgent, lambda o: o.row['red_flag'] in o.red_flags):.3f}"
        )
    if harmless:
        print(
            f"{name} {part}: {len(harmless)} harmless, false emergencies {share(harmless, lambda o: o.urgent):.3f},"
            f" to a person {share(harmless, lambda o: o.disposition == 'HUMAN'):.3f},"
            f" sent too low {share(harmless, lambda o: o.too_low):.3f}"
        )


def print_counts(name: str, key: str) -> None:
    total = Counter(outcome.row[key] for outcome in outcomes(name))
    wrong = Counter(outcome.row[key] for outcome in outcomes(name) if outcome.wrong)
    print(f"{name}, wrong by {key}: " + ", ".join(f"{label} {wrong[label]}/{total[label]}" for label in sorted(total)))


def main(shown: Iterable[str]) -> None:
    for name, keys in (("emergencies", ("red_flag", "style")), ("benign", ("trap", "style")), ("vignettes", ()), ("blind", ())):
        for part in ("blind",) if name == "blind" else PARTS:
            print_rates(name, part)
        for key in keys:
            print_counts(name, key)
        for outcome in outcomes(name):
            if outcome.wrong and outcome.row["part"] in PARTS and outcome.row["part"] in shown:
                row = outcome.row
                print(f"  {row['id']} {row['disposition']} → {outcome.disposition} {','.join(outcome.red_flags)}: {row['text']}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["test"])
