"""Concepts in a caller's words: which wordings of the lexicon occur, and where.

A phrase matches its words in order, in any inflection, with words that carry no meaning of their own ("me", "really", "um") between
them. Misheard words count as the words they sound like. Everything is one walk over tries, in time linear in the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple

from bedside.knowledge.red_flags import Lexicon, Quantity, lexicon
from bedside.safety.spelling import Ear, bare, stem
from bedside.safety.text import Token, Words

_MOST_SKIPPED = 4
_MOST_STRANGE = 2
_LITERAL = frozenset(
    {
        "benign",
        "negator",
        "pseudo_negation",
        "transparent",
        "barrier",
        "subject",
        "at_present",
        "happening",
        "admin",
        "own_subject",
        "confessed",
    }
)
"""Concepts that change what stands near them: no strange word may stand in their phrases."""
_TURNS = frozenset({"not", "no", "never", "but", "and", "or", "if", "without"})
"""Words that no phrase passes over: what comes after them is another matter."""
_HESITATIONS = frozenset({"um", "uh", "er", "erm", "ah", "like", "well", "oh"})
_SENTENCE_END = frozenset(".!?;\n…")
_CUE_REACH = 4
_NAMES = ""
_FILLER = "filler"
_COMMON = 1500
"""Letters of phrases that begin with one word, from which it is so common that no caller should wait for them to be read."""

_APART = str.maketrans(",/", "  ")
_PHRASE = re.compile(r"([^\s,]+)([^,]*)")
"""The first word of a phrase, and the rest of it."""

Trie = dict[str, Any]
"""A node: the next word's key to the next node, and under `_NAMES` the concepts whose phrase ends here."""


class Mention(NamedTuple):
    """A concept at `tokens[first:last]`."""

    first: int
    last: int
    concept: str


@dataclass(slots=True)
class Reading:
    """A text's tokens and what can follow from each.

    Attributes:
        tokens: the words.
        sentences: for each token, the number of its sentence.
        steps: for each token, the keys that a phrase can continue with there, each with the token it continues from.
        filler: for each token, whether a phrase may pass over it.
        breaks: for each token, whether a phrase that passes over strange words ends before it.
        apart: for each token, whether speech breaks off before it otherwise than in a hesitation ("my chest, um, is tight").
        numbers: for each token that begins a number, its value, the token after it, and whether it was said with a decimal part.
    """

    tokens: tuple[Token, ...]
    sentences: list[int]
    steps: list[list[tuple[str, int]]]
    filler: list[bool]
    breaks: list[bool]
    apart: list[bool]
    numbers: dict[int, tuple[float, int, bool]] = field(default_factory=dict)


class Recogniser:
    """A lexicon compiled for reading.

    Args:
        words: the lexicon.
    """

    def __init__(self, words: Lexicon) -> None:
        self._lexicon = words
        self._spellings = {said: stem(meant) for said, meant in words.spellings.items()}
        phrases = words.concepts | {name: marker.phrases for name, marker in words.markers.items()}
        written = set(",".join((*phrases.values(), *words.classes.values())).translate(_APART).split())
        self._key_of = {word: word if word[0] in "<=" else self._spellings.get(bare(word)) or stem(word) for word in written}
        known = {*self._spellings.values(), *map(stem, words.numbers), *self._key_of.values()}
        self._ear = Ear(key for key in known if not key.startswith(("<", "=")))
        self._forms = frozenset(key for key in self._key_of.values() if key.startswith("="))
        self._keys = lru_cache(maxsize=20_000)(self._keys_of)
        self._literal = _LITERAL | frozenset(words.markers)
        self._classes: Trie = {}
        for name, text in words.classes.items():
            for phrase in text.split(","):
                self._plant(self._classes, f"<{name}>", phrase)
        self._concepts: Trie = {}
        self._unread: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, text in phrases.items():
            for first, rest in _PHRASE.findall(text):
                for word in first.split("/"):
                    self._unread[self._key_of[word]].append((name, rest))
        for key in [key for key, phrases in self._unread.items() if sum(len(rest) for _, rest in phrases) > _COMMON]:
            self._open(key)

    def _plant(self, node: Trie, name: str, phrase: str) -> None:
        """Add a phrase of a concept or class below a node."""
        nodes = [node]
        for word in phrase.split():
            keys = [self._key_of[one] for one in word.split("/")]
            nodes = [node.setdefault(key, {}) for node in nodes for key in keys]
        for node in nodes:
            names = node.setdefault(_NAMES, [])
            if name not in names:
                names.append(name)

    def _open(self, key: str) -> None:
        """Add the phrases that begin with `key`, when a text first has it: most of the lexicon waits until a caller says its first word."""
        for name, rest in self._unread.pop(key, ()):
            self._plant(self._concepts.setdefault(key, {}), name, rest)

    def mentions(self, words: Words) -> tuple[Reading, list[Mention]]:
        """What `words` mentions, in the order of the text."""
        reading = self._read(words)
        found = set(self._walk(reading))
        found |= set(self._quantities(reading, found))
        return reading, sorted(found)

    def _read(self, words: Words) -> Reading:
        tokens = _with_spelt_words(words.tokens, self._ear)
        steps: list[list[tuple[str, int]]] = []
        sentences: list[int] = []
        sentence = 0
        for place, token in enumerate(tokens):
            if place and token.after_break and _SENTENCE_END & set(words.original[tokens[place - 1].end : token.start + 1][:20]):
                sentence += 1
            sentences.append(sentence)
            steps.append([(key, place + 1) for key in self._keys(token.word)])
        _skip_stutters(tokens, steps)
        self._join(tokens, steps)
        self._classify(steps)
        filler = [any(key == f"<{_FILLER}>" and end == place + 1 for key, end in keys) for place, keys in enumerate(steps)]
        breaks = [token.after_break or token.word in _TURNS for token in tokens]
        apart = [token.after_break and not _hesitates(tokens, place) for place, token in enumerate(tokens)]
        reading = Reading(tokens, sentences, steps, filler, breaks, apart)
        self._count(words, reading)
        return reading

    def _keys_of(self, word: str) -> tuple[str, ...]:
        """What a phrase may call `word`: the stem that it stands for, and those of its very forms that some phrase asks for."""
        plain = bare(word)
        meant = self._spellings.get(plain) or self._ear.meant(word)
        return (meant, *self._forms.intersection(("=" + plain, "=" + word)))

    def _join(self, tokens: tuple[Token, ...], steps: list[list[tuple[str, int]]]) -> None:
        for place in range(len(tokens) - 1):
            pair = tokens[place].word + tokens[place + 1].word
            if joined := self._ear.joined(pair):
                steps[place].append((joined, place + 2))

    def _classify(self, steps: list[list[tuple[str, int]]]) -> None:
        """Add a step for each word class; from the end, so that a class's phrase sees plain words only."""
        found = [(place, f, end) for place in range(len(steps)) for f, end in _whole(self._classes, steps, place)]
        for place, name, end in found:
            steps[place].append((name, end))

    def _walk(self, reading: Reading) -> Iterator[Mention]:
        """Every phrase of every concept; phrases end with their sentence.

        Fillers may stand anywhere in a phrase. A phrase of three words or more may also hold one other word, of four or more two, so that
        "can't feel the paper when i wipe" is heard as "can't feel when i wipe"; phrases that set others aside are taken as they stand.
        Nothing waits at a node of which no next word is said anywhere in the text.
        """
        steps, filler, sentences = reading.steps, reading.filler, reading.sentences
        said = {key for keys in steps for key, _ in keys}
        waiting: list[tuple[Trie, int, int, int, int]] = []
        for first, keys in enumerate(steps):
            for key, end in keys:
                if key in self._unread:
                    self._open(key)
                if (node := self._concepts.get(key)) is not None:
                    for name in node.get(_NAMES, ()):
                        yield Mention(first, end, name)
                    if not node.keys().isdisjoint(said):
                        waiting.append((node, end, 1, 0, 0))
            while waiting:
                node, place, known, skipped, strange = waiting.pop()
                if place >= len(steps) or sentences[place] != sentences[first]:
                    continue
                for key, end in steps[place]:
                    if (child := node.get(key)) is not None:
                        if strange < known:
                            for name in child.get(_NAMES, ()):
                                if not strange or name not in self._literal:
                                    yield Mention(first, end, name)
                        if not child.keys().isdisjoint(said):
                            waiting.append((child, end, known + 1, skipped, strange))
                if filler[place]:
                    if skipped < _MOST_SKIPPED and not reading.apart[place]:
                        waiting.append((node, place + 1, known, skipped + 1, strange))
                elif strange < _MOST_STRANGE and not reading.breaks[place]:
                    waiting.append((node, place + 1, known, skipped, strange + 1))

    def _count(self, words: Words, reading: Reading) -> None:
        place = 0
        while place < len(reading.tokens):
            number = self._number(words, reading.tokens, place)
            if number is None:
                place += 1
                continue
            reading.numbers[place] = number
            place = number[1]

    def _number(self, words: Words, tokens: tuple[Token, ...], first: int) -> tuple[float, int, bool] | None:
        """A spoken or written number at `first`: "thirty nine point two", "two hundred and ten", "39.2"."""
        value = self._value(tokens[first].word)
        if value is None:
            return None
        place = first + 1
        while place < len(tokens):
            word, gap = tokens[place].word, words.original[tokens[place - 1].end : tokens[place].start]
            part = self._value(word)
            if word == "and" and tuple(t.word for t in tokens[place + 1 : place + 3]) == ("a", "half"):
                return value + 0.5, place + 3, True
            if word == "and" and value >= 100 and place + 1 < len(tokens) and self._value(tokens[place + 1].word) is not None:
                place += 1
            elif (word == "point" or gap == ".") and (fraction := self._fraction(tokens, place + (word == "point"))) is not None:
                return value + fraction, place + 1 + (word == "point"), True
            elif part is not None and part < 10 and 34 < value < 43:  # a temperature, its point unsaid: "thirty eight four"
                return value + part / 10, place + 1, True
            elif part is not None and value < 3 and 10 <= part < 100 and not word.isdigit():  # "two thirty" for 230
                value, place = value * 100 + part, place + 1
            elif part == 100 and value < 10:
                value, place = value * 100, place + 1
            elif part is not None and (
                (value % 100 == 0 and value and part < 100) or (value % 10 == 0 and value % 100 >= 20 and 0 < part < 10)
            ):
                value, place = value + part, place + 1
            else:
                break
        return value, place, False

    def _fraction(self, tokens: tuple[Token, ...], place: int) -> float | None:
        part = self._value(tokens[place].word) if place < len(tokens) else None
        return None if part is None else part / 10 ** len(str(int(part)))

    def _value(self, word: str) -> float | None:
        if word.isascii() and word.isdigit():
            return float(word[:9])
        return self._lexicon.numbers.get(word)

    def _quantities(self, reading: Reading, found: set[Mention]) -> Iterator[Mention]:
        if not reading.numbers:
            return
        starting: defaultdict[int, set[str]] = defaultdict(set)
        ending: defaultdict[int, set[str]] = defaultdict(set)
        for mention in found:
            starting[mention.first].add(mention.concept)
            ending[mention.last].add(mention.concept)
        for first, (value, last, decimal) in reading.numbers.items():
            after = starting[_past_filler(reading.filler, last)] | starting[last]
            before = set().union(*(ending[place] for place in range(max(first - _CUE_REACH + 1, 0), first + 1)))
            for name, quantity in self._lexicon.quantities.items():
                if _fits(quantity, value, decimal, after, before):
                    yield Mention(first, last, name)


def _hesitates(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether the break before `place` is a stammer: a hesitating sound or a word said twice."""
    word, last = tokens[place].word, tokens[place - 1].word if place else ""
    return word == last or not _HESITATIONS.isdisjoint((word, last))


def _past_filler(filler: list[bool], place: int) -> int:
    """The first place from `place` that is no filler, two words on at most: "twenty of her tablets"."""
    return next((p for p in range(place, min(place + 2, len(filler))) if not filler[p]), place + 2)


def _fits(quantity: Quantity, value: float, decimal: bool, after: set[str], before: set[str]) -> bool:
    if not quantity.low <= value < quantity.high:
        return False
    return bool(after.intersection(quantity.after) or before.intersection(quantity.before) or (decimal and quantity.decimal))


def _whole(root: Trie, steps: list[list[tuple[str, int]]], first: int) -> Iterable[tuple[str, int]]:
    """Names of the phrases of `root` that stand at `first`, none of their words passed over, and where each ends."""
    waiting = [(root, first)]
    while waiting:
        node, place = waiting.pop()
        if place >= len(steps):
            continue
        for key, end in steps[place]:
            if (child := node.get(key)) is not None:
                yield from ((name, end) for name in child.get(_NAMES, ()))
                waiting.append((child, end))


def _skip_stutters(tokens: tuple[Token, ...], steps: list[list[tuple[str, int]]]) -> None:
    """Let a phrase go on after a word that is said twice ("she's not not moving") from either of the two."""
    for place in range(len(tokens) - 1):
        if tokens[place].word == tokens[place + 1].word:
            steps[place] += [(key, end + 1) for key, end in steps[place]]


def _with_spelt_words(tokens: tuple[Token, ...], ear: Ear) -> tuple[Token, ...]:
    """The tokens, with words that were spelt out letter by letter put together."""
    if sum(len(token.word) == 1 for token in tokens) < 4:
        return tokens
    whole: list[Token] = []
    letters: list[Token] = []
    for token in (*tokens, None):
        if token is not None and len(token.word) == 1:
            letters.append(token)
            continue
        if len(letters) >= 4 and (spelt := ear.split("".join(letter.word for letter in letters))):
            start, end = letters[0].start, letters[-1].end
            whole += [Token(word, start, end, letters[0].after_break and place == 0) for place, word in enumerate(spelt)]
        else:
            whole += letters
        letters = []
        if token is not None:
            whole.append(token)
    return tuple(whole)


@cache
def recogniser() -> Recogniser:
    """The built-in lexicon, compiled."""
    return Recogniser(lexicon())
