"""Patterns of sentence structure: how `guard.yaml` writes them, and how they are found in words.

A pattern is only tried where one of its telling words stands, so that a harmless sentence costs little; nothing is compiled, so that
loading costs little.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, KeysView, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bedside.errors import KnowledgeError
from bedside.knowledge.guard_rules import GuardRule, GuardWords
from bedside.safety.text import Words

_LEADS = frozenset({"and", "then", "so", "or", "please", "just", "also", "maybe", "simply", "always", "never", "now"})
_GAP = re.compile(r"(\.\.|~)(\d)")
_WORDS = re.compile(r"(!?)((?:<\w+>|[\w*#']+)(?:\|(?:<\w+>|[\w*#']+))*)(\??)")


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that a sentence breaks, and where in the original text."""

    rule: str
    start: int
    end: int


class Sentence:
    """A sentence as patterns read it.

    Attributes:
        words: its words, contractions written out.
        begins: for each word, whether a clause begins with it.
        places: for each word, where its original begins and ends in the text.
    """

    def __init__(self, words: Words, contractions: dict[str, tuple[str, ...]], breaks: frozenset[str]) -> None:
        self.words: list[str] = []
        self.begins: list[bool] = []
        self.places: list[tuple[int, int]] = []
        self._ends: dict[int, dict[int, tuple[int, ...]]] = {}
        for token in words.tokens:
            begins = token.after_break or token.word in breaks
            for word in contractions.get(token.word) or (token.word.removesuffix("'s"),):
                self.words.append(word)
                self.begins.append(begins)
                self.places.append((token.start, token.end))
                begins = False
        self._at: defaultdict[str, list[int]] = defaultdict(list)
        for place, word in enumerate(self.words):
            self._at[word].append(place)

    def said(self) -> KeysView[str]:
        """Its words, each once."""
        return self._at.keys()

    def ends(self, phrases: _Phrases) -> dict[int, tuple[int, ...]]:
        """For each word with which phrases begin, one past the last word of each."""
        known = self._ends.get(id(phrases))
        if known is None:
            known = self._ends[id(phrases)] = {
                place: ends
                for word in phrases.among(self._at.keys())
                for place in self._at[word]
                if (ends := phrases.ends(self.words, place))
            }
        return known

    def clause(self, place: int) -> int:
        """The first word of the clause in which the word at `place` stands."""
        return next((start for start in range(place, 0, -1) if self.begins[start]), 0)

    def leads(self, place: int) -> bool:
        """Whether a clause or an instruction begins with the word at `place`."""
        if self.begins[place] or self.words[place - 1] in _LEADS:
            return True
        negated = place > 1 and self.words[place - 2 : place] == ["do", "not"]
        return negated and (self.begins[place - 2] or self.words[place - 3] == "please")


class _Phrases:
    """A set of phrases, found by their first word. `*` in a word stands for any letters, `#` for digits."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self.first: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        self.open = False
        suffixes, prefixes, units = [], [], []
        for phrase in phrases:
            first, *rest = phrase.split()
            self.open = self.open or "*" in first or "#" in first
            if first.startswith("*"):
                suffixes.append(first[1:])
            elif first.endswith("*"):
                prefixes.append(first[:-1])
            elif first.startswith("#"):
                units.append(first[1:])
            else:
                self.first[first].append(tuple(rest))
        self._suffixes, self._prefixes, self._units = tuple(suffixes), tuple(prefixes), tuple(units)
        self._fits = lru_cache(maxsize=4096)(self._fits_open)

    def ends(self, words: Sequence[str], place: int) -> tuple[int, ...]:
        """One past the last word of every phrase that begins with the word at `place`."""
        word = words[place]
        ends = [place + 1 + len(rest) for rest in self.first.get(word, ()) if _follows(rest, words, place + 1)]
        if self.open and self._fits(word):
            ends.append(place + 1)
        return tuple(ends)

    def among(self, words: KeysView[str]) -> Iterable[str]:
        """Those of `words` with which a phrase may begin."""
        return [word for word in words if word in self.first or self._fits(word)] if self.open else words & self.first.keys()

    def _fits_open(self, word: str) -> bool:
        counts = word[0].isdigit() and any(word.endswith(unit) and word[: len(word) - len(unit)].isdigit() for unit in self._units)
        return counts or word.endswith(self._suffixes) or word.startswith(self._prefixes)


def _follows(rest: tuple[str, ...], words: Sequence[str], place: int) -> bool:
    if place + len(rest) > len(words):
        return False
    return all(
        word == wanted or (wanted[-1] == "*" and word.startswith(wanted[:-1])) for wanted, word in zip(rest, words[place:], strict=False)
    )


_Step = Callable[[Sentence, int, int], Iterable[int]]
"""Where a part of a pattern may end: (sentence, first word, limit) → places, the likeliest first."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    steps: tuple[_Step, ...]
    needed: tuple[_Phrases, ...]

    def may_stand(self, sentence: Sentence) -> bool:
        """Whether everything that the pattern needs is somewhere in the sentence; its first words are asked for before its phrases."""
        said = sentence.said()
        for phrases in self.needed:
            if not phrases.open and phrases.first.keys().isdisjoint(said):
                return False
        return all(map(sentence.ends, self.needed))

    def find(self, sentence: Sentence, start: int, limit: int, step: int = 0) -> int | None:
        """Where the pattern ends when it begins with the word at `start`; None: it does not."""
        if step == len(self.steps):
            return start
        for place in self.steps[step](sentence, start, limit):
            end = self.find(sentence, place, limit, step + 1)
            if end is not None:
                return end
        return None

    def within(self, sentence: Sentence, start: int, limit: int) -> bool:
        """Whether the pattern stands anywhere from `start` to `limit`."""
        return self.may_stand(sentence) and any(self.find(sentence, place, limit) is not None for place in range(start, limit))


class Patterns:
    """All patterns of all rules.

    Raises:
        KnowledgeError: a pattern cannot be read, or names a class or shield that does not exist.
    """

    def __init__(self, rules: Iterable[GuardRule], words: GuardWords) -> None:
        self._contractions = {word: tuple(phrase.split()) for word, phrase in words.contractions.items()}
        self._breaks = frozenset(words.breaks)
        reader = _Reader(words)
        self._shields = {name: [reader.read(pattern)[0] for pattern in patterns] for name, patterns in words.shields.items()}
        self._always: list[tuple[GuardRule, _Pattern]] = []
        self._by_word: defaultdict[str, list[tuple[GuardRule, _Pattern]]] = defaultdict(list)
        self._order: dict[str, int] = {}
        for rule in rules:
            self._order[rule.id] = len(self._order)
            unknown = set(rule.unless) - set(self._shields)
            if unknown:
                raise KnowledgeError(f"rule {rule.id} names the shield {min(unknown)!r}", f"Use one of {', '.join(self._shields)}")
            for text in rule.patterns:
                pattern, telling = reader.read(text)
                if telling is None:
                    self._always.append((rule, pattern))
                for word in telling or ():
                    self._by_word[word].append((rule, pattern))

    def find(self, words: Words) -> list[Found]:
        """Every rule that a sentence breaks, once each, in the order of the rules."""
        sentence = Sentence(words, self._contractions, self._breaks)
        candidates = list(self._always)
        for word in sentence.said():
            candidates += self._by_word.get(word, ())
        found: dict[str, Found] = {}
        for rule, pattern in candidates:
            if rule.id not in found and (span := self._span(sentence, rule, pattern)):
                start, end = span
                found[rule.id] = Found(rule.id, sentence.places[start][0], sentence.places[end - 1][1])
        return sorted(found.values(), key=lambda one: self._order[one.rule])

    def _span(self, sentence: Sentence, rule: GuardRule, pattern: _Pattern) -> tuple[int, int] | None:
        if not pattern.may_stand(sentence):
            return None
        limit = len(sentence.words)
        for start in range(limit):
            end = pattern.find(sentence, start, limit)
            if end is not None and not self._shielded(sentence, rule, start):
                return start, end
        return None

    def _shielded(self, sentence: Sentence, rule: GuardRule, start: int) -> bool:
        clause = sentence.clause(start)
        return any(shield.within(sentence, clause, start) for name in rule.unless for shield in self._shields[name])


class _Reader:
    def __init__(self, words: GuardWords) -> None:
        self._words = words
        self._gaps = {"..": frozenset(words.gaps["plain"]), "~": frozenset(words.gaps["narrow"])}
        self._phrases: dict[str, _Phrases] = {}

    def read(self, text: str) -> tuple[_Pattern, frozenset[str] | None]:
        """A pattern, and the words of which one has to be in a sentence that fits; None: no such words are known."""
        steps: list[_Step] = []
        needed: list[_Phrases] = []
        for element in text.split():
            gap, words = _GAP.fullmatch(element), _WORDS.fullmatch(element)
            if element == "@":
                steps.append(_leads)
            elif gap:
                steps.append(_gap(int(gap[2]), self._gaps[gap[1]]))
            elif not words:
                raise KnowledgeError(f"the pattern {text!r} has the part {element!r}", "Write words, <class>, ..3, ~3, !word, word? or @")
            elif words[1]:
                phrases = self._of(words[2])
                steps.append(_absent(phrases) if steps else _not_after(frozenset(phrases.first)))
            else:
                phrases = self._of(words[2])
                steps.append(_present(phrases, optional=bool(words[3])))
                if not words[3]:
                    needed.append(phrases)
        telling = (frozenset(phrases.first) for phrases in needed if not phrases.open)
        return _Pattern(tuple(steps), tuple(sorted(needed, key=lambda phrases: (phrases.open, len(phrases.first))))), min(
            telling, key=len, default=None
        )

    def _of(self, element: str) -> _Phrases:
        if element not in self._phrases:
            found: list[str] = []
            for part in element.split("|"):
                name = part.strip("<>")
                if part == name:
                    found.append(part)
                elif name in self._words.classes:
                    found += self._words.classes[name]
                else:
                    raise KnowledgeError(f"a pattern names the class {part}", f"Use one of {', '.join(sorted(self._words.classes))}")
            written_out = self._words.contractions
            self._phrases[element] = _Phrases(" ".join(written_out.get(word, word) for word in phrase.split()) for phrase in found)
        return self._phrases[element]


def _leads(sentence: Sentence, start: int, limit: int) -> Iterable[int]:
    return (start,) if start < limit and sentence.leads(start) else ()


def _present(phrases: _Phrases, *, optional: bool) -> _Step:
    def step(sentence: Sentence, start: int, limit: int) -> Iterable[int]:
        ends = sentence.ends(phrases).get(start, ())
        if limit < len(sentence.words):
            ends = tuple(end for end in ends if end <= limit)
        return (*ends, start) if optional else ends

    return step


def _absent(phrases: _Phrases) -> _Step:
    def step(sentence: Sentence, start: int, limit: int) -> Iterable[int]:
        return () if start < limit and start in sentence.ends(phrases) else (start,)

    return step


def _not_after(words: frozenset[str]) -> _Step:
    def step(sentence: Sentence, start: int, limit: int) -> Iterable[int]:
        return () if start and sentence.words[start - 1] in words else (start,)

    return step


def _gap(reach: int, stop: frozenset[str]) -> _Step:
    def step(sentence: Sentence, start: int, limit: int) -> Iterable[int]:
        yield start
        for place in range(start, min(start + reach, limit)):
            if sentence.words[place] in stop:
                return
            yield place + 1

    return step
