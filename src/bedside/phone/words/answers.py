"""Answers to the line's own questions: yes or no, one of the offers, nothing more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

from bedside.phone.words.dates import days
from bedside.phone.words.people import named
from bedside.phone.words.plain import folded, phrases, plain, table
from bedside.phone.words.times import PartOfDay, clocks, time_of_day

_FILE = "answers.yaml"
_PARTS: dict[PartOfDay, range] = {"morning": range(12), "afternoon": range(12, 17), "evening": range(17, 24)}
_STARTS = 3
"""A time this near, in minutes, to an offer's is that offer's."""


def yes_no(text: str) -> bool | None:
    """Whether an answer says yes or no; None where it says neither, or takes back or binds what it says ("yes but only with her")."""
    said = folded(text)
    signals = [(match.start(), match.end(), str(match.lastgroup).startswith("agree")) for match in _signals().finditer(said)]
    if not signals:
        return None
    run = [signals[0]]
    for signal in signals[1:]:
        if _only_fillers(said[run[-1][1] : signal[0]]):
            run.append(signal)
    rest = said[run[-1][1] :]
    return None if phrases(_FILE, "turns").search(rest) else run[-1][2]


def nothing_more(text: str) -> bool | None:
    """The answer to "is there anything else?": True where there is nothing, False for a plain yes, None where it is something else."""
    said = folded(text)
    rest = said
    for key in ("done", "refuse", "agree"):
        rest = phrases(_FILE, key).sub(" ", rest)
    if not _only_fillers(rest):
        return None
    answer = yes_no(text)
    if phrases(_FILE, "done").search(said) or answer is False:
        return True
    return None if answer is None else False


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen among offers: their places in the list, several where the words fit several, none for "neither"."""

    fitting: tuple[int, ...]

    @property
    def one(self) -> int | None:
        """The offer, where it is one."""
        return self.fitting[0] if len(self.fitting) == 1 else None


def choice(text: str, offers: Sequence[tuple[datetime, str]], today: date) -> Choice | None:
    """Which of the offers an answer means; None where it cannot be told.

    Args:
        text: the answer.
        offers: start and the practitioner's name, in the order in which they were said.
        today: today in the practice's zone.
    """
    if not offers:
        return None
    every = tuple(range(len(offers)))
    fitting = _by_words(text, offers, today)
    if fitting is not None and len(fitting) < len(every):
        return Choice(fitting)
    if phrases(_FILE, "neither").search(folded(text)):
        return Choice(())
    if phrases(_FILE, "either").search(folded(text)):
        return Choice((0,))
    answer = yes_no(text)
    if answer is False:
        return Choice(())
    return Choice(every) if answer or fitting is not None else None


def _by_words(text: str, offers: Sequence[tuple[datetime, str]], today: date) -> tuple[int, ...] | None:
    """Offers that have every place, time, day, part of day and practitioner named; None where nothing of the kind was said."""
    every = range(len(offers))
    order = _place(text, offers)
    if order is not None:
        return (order,)
    tests = []
    if times := clocks(text):
        tests.append([n for n in every if any(_near(offers[n][0], clock.hour, clock.minute) for clock in times)])
    elif bare := [n for n in every if offers[n][0].hour % 12 in _bare_hours(text)]:
        tests.append(bare)
    if wanted := days(text, today):
        tests.append([n for n in every if offers[n][0].date() in wanted])
    if (part := time_of_day(text)) and part.part:
        tests.append([n for n in every if offers[n][0].hour in _PARTS[part.part]])
    if who := named(text, [name for _, name in offers]):
        tests.append([n for n in every if offers[n][1] in who])
    return tuple(n for n in every if all(n in test for test in tests)) if tests else None


def _bare_hours(text: str) -> list[int]:
    return [int(hour) % 12 for hour in re.findall(r"(?<![\d:])\d{1,2}(?![\d:])", plain(text))]


def _place(text: str, offers: Sequence[tuple[datetime, str]]) -> int | None:
    said = f"{folded(text)} | {plain(text)}"
    ends = {"earlier": min, "later": max}
    for key, end in ends.items():
        if len(offers) > 1 and re.search(rf"\bthe {_listed(key)}|^{_listed(key)}(?: one)?$", folded(text)):
            return offers.index(end(offers, key=lambda offer: offer[0]))
    for place, words in enumerate(table(_FILE)["places"][: len(offers)]):
        if re.search(rf"\b(?:{'|'.join(map(re.escape, words))})\b(?! of )", said) or plain(text) in (str(place + 1), f"option {place + 1}"):
            return place
    return None


def _near(start: datetime, hour: int, minute: int) -> bool:
    apart = abs((start.hour * 60 + start.minute) % 720 - (hour * 60 + minute) % 720)
    return min(apart, 720 - apart) <= _STARTS


@cache
def _listed(key: str) -> str:
    return f"(?:{'|'.join(map(re.escape, table(_FILE)[key]))})"


@cache
def _signals() -> re.Pattern[str]:
    """Yes and no as whole words, longer phrases before shorter ones: each is one group, named after its kind and number."""
    words = sorted(((word, kind) for kind in ("agree", "refuse") for word in table(_FILE)[kind]), key=lambda pair: -len(pair[0]))
    return re.compile(
        "|".join(f"(?P<{kind}{number}>(?<![\\w'])(?:{re.escape(word)})(?![\\w']))" for number, (word, kind) in enumerate(words))
    )


def _only_fillers(text: str) -> bool:
    return not phrases(_FILE, "fillers").sub(" ", text).strip()
