"""The safety core on every transcript, partial ones too, before anything else is made of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bedside.knowledge.dispositions import disposition
from bedside.knowledge.protocol import Protocol
from bedside.phone.practice import Practice
from bedside.phone.words.answers import yes_no
from bedside.phone.words.dates import days
from bedside.phone.words.plain import plain
from bedside.safety.medicines import recognise
from bedside.safety.triage import HAPPENING_NOW, triage
from bedside.safety.urgency import Fired, decide

PLAIN = "ROUTINE"
"""What a turn without a red flag counts as; it raises nothing."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the protocol says of a turn.

    Attributes:
        disposition: where it sends the caller, the practice's changes applied; `PLAIN` where no red flag fired.
        rules: ids of the red flags that fired.
        evidence: the words that fired them.
        ask_now: a red flag stands in words that may be of the past or of something planned: ask whether it is happening now.
    """

    disposition: str
    rules: tuple[str, ...]
    evidence: tuple[str, ...]
    ask_now: bool

    @property
    def emergency(self) -> bool:
        """Whether the caller has to be sent to help at once."""
        return disposition(self.disposition).emergency

    @property
    def level(self) -> int:
        """How urgent it is; see `dispositions.yaml`."""
        return disposition(self.disposition).level


def watch(text: str, day: dt.date, protocol: Protocol) -> Alarm:
    """Which red flags fire on what was heard, and where the practice's protocol sends the caller."""
    found = triage(text, day=day, protocol=protocol)
    place = PLAIN
    if found.red_flags:
        place = decide([Fired(flag.id, flag.disposition) for flag in found.red_flags], overlay=protocol, day=day).disposition
    evidence = tuple(dict.fromkeys(words for flag in found.red_flags for words in flag.evidence))
    # A year said as two numbers ("born first of May nineteen forty seven") looks like forty degrees of some time ago; written out it does not.
    ask_now = HAPPENING_NOW in found.ask and HAPPENING_NOW in triage(plain(text), day=day, protocol=protocol).ask
    return Alarm(place, tuple(flag.id for flag in found.red_flags), evidence, ask_now)


def prepare(practice: Practice, day: dt.date) -> None:
    """Load and compile what the first call would otherwise wait for: red flags, medicines, and the patterns of days and answers."""
    watch("ready", day, practice.overlay)
    recognise("ready")
    days("today", day)
    yes_no("yes")


def first_aid(alarm: Alarm) -> list[str]:
    """Approved texts that are said beside the disposition's own, by the rules that fired."""
    listed = _table()["first_aid"]
    return list(dict.fromkeys(text for rule in alarm.rules for text in listed.get(rule, ())))


def same_day_intent(rules: tuple[str, ...]) -> str:
    """The intent by which a caller who has to be seen or called today is served."""
    intents = {_table()["same_day"].get(rule, "symptom_triage") for rule in rules}
    return str(intents.pop()) if len(intents) == 1 else "symptom_triage"


def is_private(rules: tuple[str, ...]) -> bool:
    """Whether the reason of a call may not be told to a machine that somebody else may listen to."""
    return bool(set(rules) & set(_table()["private"]))


@cache
def _table() -> dict[str, Any]:
    return yaml.safe_load(files(__package__).joinpath("watch.yaml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
