"""What may be said: every generated sentence passes here, and one that may not be said is replaced by approved text.

Approved texts pass as they are. Anything else is read by structure (`guard.yaml`): no diagnosis, dose, reassurance, downgrade or promise of
a benefit, no number that is not in a table, no emergency service of another country.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from itertools import pairwise

from bedside.knowledge.dispositions import disposition as find_disposition
from bedside.knowledge.guard_rules import GuardRule, guard_rules, guard_words
from bedside.knowledge.protocol import Protocol
from bedside.safety.approved import tables
from bedside.safety.numbers import digits_of, numbers
from bedside.safety.patterns import Found, Patterns
from bedside.safety.text import Words, read

# A sentence is over only when what follows has begun, and not with a small letter: an abbreviation does not end one.
_END = re.compile(r"[.!?…]['\"’”)\]]*\s+(?=[^\s\da-z])")

_LAST_LATIN = "\u024f"
_LONGEST = 150  # words; nobody says a longer sentence, and reading one costs more than its length


@dataclass(frozen=True, slots=True)
class Violation:
    """A sentence that was not let through.

    Attributes:
        rule: id of the rule, see `guard.yaml`.
        words: what broke it.
        start: its place in the generated text.
        end: one past its last character.
    """

    rule: str
    words: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Guarded:
    """A text that may be said, and what was taken out of the generated one."""

    text: str
    violations: tuple[Violation, ...]


def guard(
    text: str,
    *,
    day: date,
    allowed_numbers: Collection[str] = (),
    disposition: str | None = None,
    protocol: Protocol | None = None,
) -> Guarded:
    """Make a generated answer fit to be said.

    Args:
        text: the answer.
        day: the day on which it is said; tables hold by date.
        allowed_numbers: numbers that the caller gave or the practice's systems returned, as they are written.
        disposition: where this caller goes; the answer to an emergency begins with its approved text.
        protocol: the practice's protocol: its number, fees, helplines and texts are allowed.

    Raises:
        KnowledgeError: `disposition` is none.
    """
    stream = SentenceGuard(day=day, allowed_numbers=allowed_numbers, disposition=disposition, protocol=protocol)
    return Guarded((stream.feed(text) + stream.close()).rstrip(), tuple(stream.violations))


class SentenceGuard:
    """The guard over a stream: takes pieces of text as they are generated and gives back whole sentences that may be said.

    The arguments are those of `guard`; the pieces may be cut anywhere, the result is the same.
    """

    def __init__(
        self, *, day: date, allowed_numbers: Collection[str] = (), disposition: str | None = None, protocol: Protocol | None = None
    ) -> None:
        self.violations: list[Violation] = []
        self._checker = _checker(day, protocol)
        self._allowed = frozenset(map(digits_of, allowed_numbers))
        self._waiting = ""
        self._place = 0
        self._said: set[str] = set()
        self._opening = ""
        if disposition and find_disposition(disposition).emergency:
            opening = self._checker.text(find_disposition(disposition).says)
            self._said.update(map(_plain, sentences(opening)))
            self._opening = opening + " "

    def feed(self, piece: str) -> str:
        """The sentences that are whole now; empty while none is."""
        self._waiting += piece
        *whole, self._waiting = sentences(self._waiting)
        return self._out(whole)

    def close(self) -> str:
        """What is left once nothing more is generated."""
        rest, self._waiting = self._waiting, ""
        return self._out([rest])

    def _out(self, whole: list[str]) -> str:
        opening, self._opening = self._opening, ""
        return opening + "".join(map(self._check, whole))

    def _check(self, sentence: str) -> str:
        place, self._place = self._place, self._place + len(sentence)
        if _plain(sentence) in self._said:
            return ""
        found = self._checker.check(sentence, self._allowed)
        if not found:
            return sentence
        self.violations += [Violation(f.rule, sentence[f.start : f.end], place + f.start, place + f.end) for f in found]
        instead = self._checker.text(self._checker.rules[found[0].rule].says)
        if instead in self._said:
            return ""
        self._said.add(instead)
        return instead + (" " if sentence[-1:].isspace() or sentence != sentence.rstrip() else "")


def sentences(text: str) -> list[str]:
    """The sentences of `text`, each with the blanks after it; put together they are `text`. The last may be unfinished or empty."""
    cuts = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def _plain(sentence: str) -> str:
    return " ".join(sentence.split())


@cache
def _patterns() -> Patterns:
    return Patterns(guard_rules(), guard_words())


@lru_cache(maxsize=32)
def _checker(day: date, protocol: Protocol | None) -> _Checker:
    return _Checker(day, protocol)


class _Checker:
    """What is the same for every answer of one day and practice."""

    def __init__(self, day: date, protocol: Protocol | None) -> None:
        self._tables = tables(day, protocol)
        self.rules: dict[str, GuardRule] = {rule.id: rule for rule in guard_rules()}
        self._approved = {_plain(s) for name in self._tables.texts for text in self._tables.every(name) for s in sentences(text)}
        practice = protocol.practice if protocol else None
        self._services = {line.digits: line for line in self._tables.helplines.values() if line.digits}
        own = {digits_of(practice.number)} if practice and practice.number else set()
        fees = {digits_of(f"{fee:.2f}") for fee in practice.fees.values()} if practice else set()
        self._known = frozenset(self._services) | own | fees
        names = {read(name).folded: line.id for line in self._tables.helplines.values() for name in (line.name, *line.called)}
        self._name_of = names
        self._names = re.compile(rf"\b(?:{'|'.join(re.escape(name) for name in sorted(names, key=len, reverse=True))})\b")

    def text(self, text_id: str) -> str:
        """An approved text without slots."""
        return self._tables.say(text_id)

    def check(self, sentence: str, allowed: frozenset[str]) -> list[Found]:
        """What is wrong with a sentence; nothing where it is approved."""
        if _plain(sentence) in self._approved:
            return []
        words = read(sentence)
        if _unreadable(words):
            return [Found("guard.unreadable", 0, len(sentence.rstrip()))]
        return [*_patterns().find(words), *self._numbers(words, allowed)]

    def _numbers(self, words: Words, allowed: frozenset[str]) -> Iterator[Found]:
        # Names such as 1800RESPECT hold digits that are no number; blanks of the same length keep all places.
        named = {self._name_of[match.group()] for match in self._names.finditer(words.folded)}
        masked = self._names.sub(lambda match: " " * len(match.group()), words.folded)
        known = self._known | allowed
        for number in numbers(masked, known):
            service = self._services.get(number.digits)
            if number.tells and number.digits not in known:
                rule = "guard.fee" if number.money else "guard.number"
            elif service and len(named) == 1 and service.id not in named:
                rule = "guard.wrong_service"
            else:
                continue
            yield Found(rule, *words.span(number.start, number.end))


def _unreadable(words: Words) -> bool:
    if len(words.tokens) > _LONGEST:
        return True
    letters = [letter for letter in words.original if letter.isalpha()]
    return sum(letter > _LAST_LATIN for letter in letters) * 2 > len(letters)
