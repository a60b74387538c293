"""The safety core in the path: it reads the question before a model does, and the answer before anybody else does.

What a client or a caller writes cannot switch it off: it looks at words and not at instructions, an urgency that a rule found stays, and
every sentence of an answer passes the guard of `bedside.safety.guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from anyio import to_thread

from bedside.knowledge.dispositions import disposition
from bedside.knowledge.protocol import Protocol, load_protocol
from bedside.phone.practice import Practice, read_practice
from bedside.safety.approved import say
from bedside.safety.guard import SentenceGuard
from bedside.safety.numbers import numbers
from bedside.safety.rows import decided
from bedside.safety.text import fold
from bedside.safety.triage import Triage, triage
from bedside.safety.urgency import most_urgent
from bedside.server.settings import GatewaySettings, ScopeSettings

_T = TypeVar("_T")
_SHORT = 2000
"""Letters that the rules read in about a millisecond; a longer text is read in a thread, so that others need not wait for it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the core found in a question.

    Attributes:
        day: on which it was asked; tables hold by date.
        disposition: where the practice's protocol sends whoever asked.
        red_flags: ids of the rules that fired.
        says: the approved text that an answer to an emergency begins with; None: it is none.
        numbers: digits that the conversation gave, which an answer may repeat.
    """

    day: date
    disposition: str
    red_flags: tuple[str, ...]
    says: str | None
    numbers: frozenset[str]


class Rails:
    """The safety core as one practice sets it.

    Args:
        scope: its disclaimer and instructions.
        practice: the practice, whose protocol, name, number and fees hold by day.
        overlay: its protocol, where there is no practice file.
    """

    def __init__(self, scope: ScopeSettings, practice: Practice | None = None, overlay: Protocol | None = None) -> None:
        self.scope = scope
        self.practice = practice
        self._overlay = overlay

    def protocol(self, day: date) -> Protocol | None:
        """The practice's protocol on a day."""
        return self.practice.protocol_on(day) if self.practice else self._overlay

    def triage(self, text: str, day: date) -> tuple[Triage, str]:
        """What the rules find in a text, and the disposition after the practice's changes."""
        protocol = self.protocol(day)
        found = triage(text, day=day, protocol=protocol)
        return found, decided(found, protocol, day).disposition

    def read(self, messages: Sequence[Mapping[str, str]], day: date | None = None) -> Reading:
        """What the core finds in a conversation: in its last user turn, and in all of them together; in all it holds where it has none."""
        day = day or date.today()
        said = [message["content"] for message in messages if message["role"] == "user"] or [message["content"] for message in messages]
        readings = [self.triage(text, day) for text in dict.fromkeys(("\n".join(said), *said[-1:]))]
        place = most_urgent(*(place for _, place in readings))
        flags = dict.fromkeys(flag.id for found, _ in readings for flag in found.red_flags)
        urgent = disposition(place)
        return Reading(
            day=day,
            disposition=place,
            red_flags=tuple(flags),
            says=say(urgent.says, day=day, protocol=self.protocol(day)) if urgent.emergency else None,
            numbers=_numbers(message["content"] for message in messages if message["role"] != "assistant"),
        )

    def guard(self, reading: Reading) -> SentenceGuard:
        """The guard of one answer as text; to an emergency it says the approved text first."""
        return SentenceGuard(
            day=reading.day,
            allowed_numbers=reading.numbers,
            disposition=reading.disposition if reading.says else None,
            protocol=self.protocol(reading.day),
        )

    def guard_json(self, value: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
        """A JSON answer with every string of it guarded, names of fields included; and the rules that were broken."""
        broken: list[str] = []

        def text(words: str) -> str:
            guard = SentenceGuard(day=reading.day, allowed_numbers=reading.numbers, protocol=self.protocol(reading.day))
            fit = guard.feed(words) + guard.close()
            broken.extend(violation.rule for violation in guard.violations)
            return fit

        def walk(part: Any) -> Any:
            if isinstance(part, str):
                return text(part)
            if isinstance(part, list):
                return [walk(item) for item in part]
            if isinstance(part, dict):
                return {text(name): walk(item) for name, item in part.items()}
            return part

        return walk(value), tuple(broken)


def open_rails(settings: GatewaySettings) -> Rails:
    """The rails of a gateway.

    Raises:
        PracticeError, KnowledgeError: the practice file or its protocol cannot be used.
        OSError: the protocol cannot be read.
    """
    practice = read_practice(settings.practice) if settings.practice else None
    rails = Rails(settings.scope, practice, load_protocol(settings.protocol) if settings.protocol else None)
    # The tables are loaded and compiled now, so that the first to ask need not wait for it.
    rails.guard(rails.read([{"role": "user", "content": "hello"}])).feed("Hello. ")
    return rails


async def by_rules(letters: int, rules: Callable[..., _T], *args: Any) -> _T:
    """What rules say of so many letters: at once where they are few, in a thread where they are many."""
    if letters <= _SHORT:
        return rules(*args)
    return await to_thread.run_sync(rules, *args)


def rule_names(guard: SentenceGuard) -> tuple[str, ...]:
    """The rules that an answer broke, each once, in the order in which it broke them."""
    return tuple(dict.fromkeys(violation.rule for violation in guard.violations))


def _numbers(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(_digits(texts))


def _digits(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from (number.digits for number in numbers(fold(text)[0]))
