"""Where the practice's protocol sends a caller, from the words of one turn. No model is asked.

    words → concepts (what is mentioned) → scene (what of it holds now) → rules (combinations) → the most urgent disposition

Only more can follow from more words: a rule never looks at politeness, at minimising, or at what else the caller wants.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from graphlib import TopologicalSorter

from bedside.knowledge.dispositions import dispositions, most_urgent
from bedside.knowledge.protocol import Protocol
from bedside.knowledge.red_flags import Lexicon, Pattern, RedFlagRule, lexicon, parse_pattern, red_flags
from bedside.safety.concepts import Mention, Reading, Recogniser, recogniser
from bedside.safety.context import scene
from bedside.safety.text import Words, read

HAPPENING_NOW = "Is this happening right now?"
_NEAR = 8
_LONGEST = 2000
"""Words read at once. What a caller says in one turn is far shorter; a longer text is read in overlapping pieces."""
_OVERLAP = 100


@dataclass(frozen=True, slots=True)
class RedFlag:
    """A rule that fired.

    Attributes:
        id: the rule.
        disposition: where it sends the caller.
        evidence: the caller's words that fired it.
        spans: their places in the text, as (start, end).
    """

    id: str
    disposition: str
    evidence: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Triage:
    """What the protocol says of one turn.

    Attributes:
        disposition: the most urgent of all that was found.
        red_flags: every rule that fired, the most urgent first.
        ask: what would have to be asked; no answer to it may lower the disposition.
        routine: what the turn would be without its red flags, for the note to the practice.
    """

    disposition: str
    red_flags: tuple[RedFlag, ...]
    ask: tuple[str, ...]
    routine: str


def triage(text: str | Words, *, day: date | None = None, protocol: Protocol | None = None) -> Triage:
    """Which red flags fire on what a caller said, and where they lead before the practice's changes (`urgency.decide`) are applied.

    Args:
        text: one turn, as it was heard or typed, or its words.
        day: rules not in force on that day are left out; None: all rules are used.
        protocol: the practice's own; red flags that it adds are used beside the built-in ones.

    Raises:
        KnowledgeError: a red flag of the protocol names a concept that the lexicon does not have.
    """
    return _rule_book(protocol).triage(text, day=day)


@dataclass(frozen=True, slots=True)
class _Way:
    rule: RedFlagRule
    to: str
    pattern: Pattern


_Compound = tuple[str, frozenset[str], list[Pattern]]
"""A compound concept's name, the concepts of which its patterns' first parts need one, and its patterns."""


class RuleBook:
    """Rules compiled for use.

    Args:
        rules: the practice's red flags.
        words: the lexicon whose concepts they name.
        reader: that lexicon, compiled.

    Raises:
        KnowledgeError: a pattern names a concept that the lexicon does not have.
    """

    def __init__(self, rules: Iterable[RedFlagRule], words: Lexicon, reader: Recogniser) -> None:
        self._words = words
        self._reader = reader
        names = words.names()
        compounds = {name: [parse_pattern(text, names) for text in texts] for name, texts in words.compounds.items()}
        made_of = {
            name: {part for pattern in patterns for part in _concepts(pattern) & compounds.keys()} for name, patterns in compounds.items()
        }
        self._compounds = [
            (name, frozenset(concept for pattern in compounds[name] for concept in pattern.terms[0][0]), compounds[name])
            for name in TopologicalSorter(made_of).static_order()
        ]
        self._ways: dict[str, list[_Way]] = {}
        for rule in rules:
            for route in rule.routes:
                for text in route.when:
                    way = _Way(rule, route.to, parse_pattern(text, names))
                    for concept in way.pattern.terms[0][0]:
                        self._ways.setdefault(concept, []).append(way)

    def triage(self, text: str | Words, *, day: date | None = None) -> Triage:
        """As the function `triage`, with these rules."""
        words = read(text) if isinstance(text, str) else text
        tokens = words.tokens
        fired: dict[str, RedFlag] = {}
        ask: dict[str, None] = {}
        routine = ""
        heard: set[tuple[str, ...]] = set()
        for start in range(0, max(len(tokens), 1), _LONGEST - _OVERLAP):
            piece = Words(words.original, words.folded, tokens[start : start + _LONGEST], words.places)
            said = tuple(token.word for token in piece.tokens)
            if said in heard:  # a text that repeats itself says nothing new
                continue
            heard.add(said)
            routine = max(routine, self._piece(piece, day, fired, ask), key=lambda name: _level(name) if name else 0)
        routine = routine or "HUMAN"
        flags = tuple(sorted(fired.values(), key=lambda flag: (-_level(flag.disposition), flag.id)))
        return Triage(most_urgent(*(flag.disposition for flag in flags)) if flags else routine, flags, tuple(ask), routine)

    def _piece(self, words: Words, day: date | None, fired: dict[str, RedFlag], ask: dict[str, None]) -> str:
        reading, mentions = self._reader.mentions(words)
        now = scene(reading, mentions, self._words)
        board = _Board(now.live, self._compounds)
        for flag, rule in self._fires(board, words, reading, day):
            if rule.id not in fired or _level(flag.disposition) > _level(fired[rule.id].disposition):
                fired[rule.id] = flag
            ask.update(dict.fromkeys(rule.ask))
        if now.parked and any(concept in self._ways for concept in _Board(now.parked, self._compounds).concepts()):
            ask[HAPPENING_NOW] = None
        if not any(token.word.isalpha() for token in words.tokens):
            return ""
        return "ADMIN" if board.has("admin") and not board.has("clinical_wish") else "ROUTINE"

    def _fires(self, board: _Board, words: Words, reading: Reading, day: date | None) -> Iterable[tuple[RedFlag, RedFlagRule]]:
        ways = {id(way): way for concept in board.concepts() for way in self._ways.get(concept, ())}
        for way in ways.values():
            if day is None or way.rule.holds_on(day):
                found = board.match(way.pattern)
                if found is not None:
                    spans = _spans(found, reading)
                    yield RedFlag(way.rule.id, way.to, tuple(words.original[a:b] for a, b in spans), spans), way.rule


def _concepts(pattern: Pattern) -> set[str]:
    return {concept for term in pattern.terms for part in term for concept in part}


def _level(name: str) -> int:
    return dispositions()[name].level


class _Board:
    """Mentions by concept, compounds included."""

    def __init__(self, mentions: Iterable[Mention], compounds: Iterable[_Compound]) -> None:
        self._places: dict[str, list[Mention]] = {}
        for mention in mentions:
            self._places.setdefault(mention.concept, []).append(mention)
        for name, begins, patterns in compounds:
            if self._places.keys().isdisjoint(begins):
                continue
            if wholes := {_whole(found, name) for pattern in patterns for found in self._fills(pattern.terms[0])}:
                self._places[name] = sorted(wholes)

    def concepts(self) -> tuple[str, ...]:
        return tuple(self._places)

    def has(self, concept: str) -> bool:
        return concept in self._places

    def match(self, pattern: Pattern) -> list[Mention] | None:
        """Mentions that fill the pattern, or None; one and the same words fill one term only."""
        if not self._places.keys().isdisjoint(pattern.absent) or not all(map(self._can_fill, pattern.terms)):
            return None
        for first in self._fills(pattern.terms[0]):
            found = list(first)
            for term in pattern.terms[1:]:
                more = next((fill for fill in self._fills(term) if not any(m[:2] == f[:2] for m in fill for f in found)), None)
                if more is None:
                    break
                found += more
            else:
                return found
        return None

    def _fills(self, term: tuple[tuple[str, ...], ...]) -> Iterator[list[Mention]]:
        """The mentions that fill a term, for each place of its first part that has the others near."""
        if not self._can_fill(term):
            return
        others = [self._of(part) for part in term[1:]]
        for mention in self._of(term[0]):
            chosen = [mention]
            for candidates in others:
                if (close := _closest(mention, candidates)) is None:
                    break
                chosen.append(close)
            else:
                yield chosen

    def _can_fill(self, term: tuple[tuple[str, ...], ...]) -> bool:
        places = self._places
        for part in term:
            for concept in part:
                if concept in places:
                    break
            else:
                return False
        return True

    def _of(self, concepts: tuple[str, ...]) -> list[Mention]:
        if len(concepts) == 1:
            return self._places.get(concepts[0], [])
        return sorted(m for concept in concepts for m in self._places.get(concept, ()))


def _whole(found: list[Mention], name: str) -> Mention:
    return Mention(min(m.first for m in found), max(m.last for m in found), name)


def _closest(mention: Mention, candidates: list[Mention]) -> Mention | None:
    """The first of `candidates` within `_NEAR` words of `mention` that is not the same words."""
    start = bisect_left(candidates, mention.first - _NEAR, key=lambda m: m.last) if len(candidates) > 8 else 0
    for other in candidates[start:]:
        if other.first > mention.last + _NEAR:
            return None
        if other.last >= mention.first - _NEAR and (other.first >= mention.last or other.last <= mention.first):
            return other
    return None


def _spans(found: list[Mention], reading: Reading) -> tuple[tuple[int, int], ...]:
    return tuple(sorted({(reading.tokens[m.first].start, reading.tokens[m.last - 1].end) for m in found}))


@lru_cache(maxsize=8)
def _rule_book(protocol: Protocol | None) -> RuleBook:
    added = protocol.added.get("red_flags", ()) if protocol else ()
    own = (fact for fact in added if isinstance(fact, RedFlagRule))
    return RuleBook((*red_flags(), *own), lexicon(), recogniser())
