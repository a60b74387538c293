"""Frames: what sets aside the words near it - a story, an animal, somebody elsewhere, a worry about later, a time long over, a form.

A marker of the lexicon opens a frame. It reaches some words on, within its clause or through its sentence, until somebody of the caller's
own leads a clause or a word shows that it is happening now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bedside.knowledge.red_flags import Marker
from bedside.safety.concepts import Mention, Reading

_OWN_REACH = 3
"""What begins within three words after the caller or one of their family is said of them."""
_LEADS = 3
"""Somebody named among the first three words of a clause ("and now my wife") leads it."""
_PLACING = frozenset({"in", "at", "from", "of"})
_BEGIN_CLAUSES = ("barrier", "request")
"""Concepts that begin a clause: "but", "oh and", "can i"."""
_RELATIVE = frozenset({"where", "when", "which", "that", "who"})
"""Words after which a clause goes on: "at camp last term where i couldn't breathe"."""


class Frames:
    """The frames of a text.

    Args:
        reading: the tokens that the mentions point to.
        mentions: what is mentioned, in the order of the text.
        markers: what opens a frame, by the concept's name.
    """

    def __init__(self, reading: Reading, mentions: list[Mention], markers: dict[str, Marker]) -> None:
        self._markers = markers
        self._reached: dict[int, set[str]] = {}
        opening = [m for m in mentions if m.concept in markers]
        if not opening:
            return  # nothing reaches anything
        own = self._truly_own(reading, mentions, [m for m in opening if markers[m.concept].of_others])
        taken = {m for m in mentions if m.concept == "own_subject"}.difference(own)
        mentions = [m for m in mentions if m not in taken]
        self._clauses = _clauses(reading, mentions, opening)
        self._sentences = reading.sentences
        self._in_clause = _by_part(mentions, self._clauses)
        self._in_sentence = _by_part(mentions, self._sentences)
        self._near_own = {place for m in own for place in range(m.first, m.last + _OWN_REACH)}
        self._led = {self._clauses[m.first] for m in own if m.first < _LEADS or self._clauses[m.first - _LEADS] != self._clauses[m.first]}
        for m in opening:
            for place in self._reach(m, markers[m.concept]):
                self._reached.setdefault(place, set()).add(m.concept)

    def set_aside(self, mention: Mention) -> bool:
        """Whether a frame says that the mention does not hold for the patient now."""
        if not self._reached:
            return False
        reaching = {name for place in range(mention.first, mention.last) for name in self._reached.get(place, ())}
        return any(self._sets_aside(self._markers[name], mention) for name in reaching)

    def _sets_aside(self, marker: Marker, mention: Mention) -> bool:
        if mention.concept in marker.spares or (marker.only and mention.concept not in marker.only):
            return False
        if marker.of_others and mention.first in self._near_own:
            return False
        beside = self._in_clause.get(self._clauses[mention.first], set())
        if marker.in_clause and beside.isdisjoint(marker.in_clause):
            return False
        return not marker.by_clause or beside.isdisjoint(marker.lifted_by)

    @staticmethod
    def _truly_own(reading: Reading, mentions: list[Mention], others: list[Mention]) -> list[Mention]:
        """The caller and their family, less those named as the one whose dog or cousin it is ("my son's hamster", "in my son's class")."""
        taken = {place for m in others for place in range(m.first, m.last)}
        begins = {m.first for m in others}
        return [m for m in mentions if m.concept == "own_subject" and m.first not in taken and not _owns(reading, m, begins)]

    def _reach(self, m: Mention, marker: Marker) -> Iterator[int]:
        """Places that a marker reaches: outward from its own within its part of the text, up to another clause that ends it."""
        home = self._clauses[m.first]
        parts, said = (self._sentences, self._in_sentence) if marker.sentence else (self._clauses, self._in_clause)
        names = said[parts[m.first]]
        if marker.needs and names.isdisjoint(marker.needs):
            return
        if not self._in_sentence[self._sentences[m.first]].isdisjoint(marker.undone_by):
            return
        if not marker.by_clause and not names.isdisjoint(marker.lifted_by):
            return
        ends: set[int] = set()
        if marker.of_others:
            lifted = {clause for clause, concepts in self._in_clause.items() if not concepts.isdisjoint(marker.lifted_by)}
            ends = self._led | lifted
            parts = self._clauses if home in lifted else parts
        backward = range(m.first - 1, max(m.first - marker.back, 0) - 1, -1)
        for way in (backward, range(m.first, min(m.last + marker.ahead, len(parts)))):
            for place in way:
                if parts[place] != parts[m.first] or (self._clauses[place] in ends and self._clauses[place] != home):
                    break
                yield place


def _owns(reading: Reading, own: Mention, begins: set[int]) -> bool:
    word = reading.tokens[own.last - 1].word
    if own.last in begins and word in ("me", "my", "our"):
        return True
    return word.endswith("s") and (own.last in begins or (own.first > 0 and reading.tokens[own.first - 1].word in _PLACING))


def _clauses(reading: Reading, mentions: Iterable[Mention], opening: Iterable[Mention]) -> list[int]:
    """For each token, the number of its clause.

    None begins inside a mention that opens a frame ("how would i know if"), after a relative, or where the caller only hesitates.
    """
    inside = {place for m in opening for place in range(m.first + 1, m.last)}
    begins = {m.first for m in mentions if m.concept in _BEGIN_CLAUSES}.difference(inside)
    numbers: list[int] = []
    clause = 0
    for place in range(len(reading.tokens)):
        related = place > 0 and reading.tokens[place - 1].word in _RELATIVE
        clause += reading.apart[place] or (place in begins and not related)
        numbers.append(clause)
    return numbers


def _by_part(mentions: Iterable[Mention], parts: list[int]) -> dict[int, set[str]]:
    """The concepts of each part of the text."""
    said: dict[int, set[str]] = {}
    for m in mentions:
        said.setdefault(parts[m.first], set()).add(m.concept)
    return said
