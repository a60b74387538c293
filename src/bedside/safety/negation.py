"""What a caller denies: "no chest pain", "hasn't got a fever, rash or headache", and not "i can't breathe" or "no, he's got chest pain".

A wrong denial costs a life, a missed one a question: a negation reaches few words, within its clause or a list (source book 1.9, rule 1).
"""

from __future__ import annotations

from collections.abc import Container

from bedside.safety.concepts import Mention, Reading

_SCOPE = 5
"""A negation reaches five words at most, from there on five again for each item of a list."""
_DENYING = frozenset({"denies", "denied", "denying"})
"""Words of clinicians after which a list may end in "and": "denies chest pain, dyspnoea and syncope"."""


def denied(reading: Reading, mentions: list[Mention], markers: Container[str]) -> set[int]:
    """Places at which a mention that begins there is denied.

    Args:
        reading: the tokens that the mentions point to.
        mentions: what was found, in the order of the text.
        markers: concepts that open a frame; a denial that is part of one ("haven't had any in months") denies all the same.
    """
    if not any(m.concept == "negator" for m in mentions):
        return set()
    starts: dict[int, int] = {}
    sayings: set[int] = set()
    present_after: set[int] = set()
    inside: set[int] = set()
    for m in mentions:
        if m.concept in ("pseudo_negation", "barrier", "subject"):
            sayings.update(range(m.first, m.last))
        elif m.concept == "at_present":
            present_after.add(m.first)
        elif m.concept not in ("negator", "transparent"):
            starts[m.first] = max(starts.get(m.first, 0), m.last)
            if m.last > m.first + 1 and m.concept not in markers:
                inside.update(range(m.first, m.last))
    closing = {m.first for m in mentions if m.concept == "list_close"}
    joined = closing | {place for place, token in enumerate(reading.tokens) if token.word == "and"}
    heard = [m for m in mentions if m.concept == "negator" and m.first not in sayings and m.first not in inside]
    negators = {m.last: m for m in reversed(heard)}.values()  # "has not" is one denial, though "not" alone is one too
    transparent = {place for m in mentions if m.concept == "transparent" for place in range(m.first, m.last)}
    counts: dict[int, int] = {}
    second = {n.first for n in negators}
    for negator in negators:
        first = negator.last + (negator.last in second)
        closes = joined if reading.tokens[negator.first].word in _DENYING else closing
        for place in _reach(reading, first, starts, transparent, sayings | second, closes):
            counts[place] = counts.get(place, 0) + 1
    return {p for p, number in counts.items() if number % 2 and not present_after & {starts[p], starts[p] + 1}}


def _reach(reading: Reading, first: int, starts: dict[int, int], transparent: set[int], stops: set[int], closing: set[int]) -> list[int]:
    """Where mentions begin that a negation ending before `first` denies: through words that carry it on, within its clause or its list."""
    denied: list[int] = []
    place = first
    end = first + _SCOPE
    while place < min(end, len(reading.tokens)):
        if place in stops:
            break
        if place in closing:  # "never had a fit or a faint or a turn"
            end = place + _SCOPE
        if reading.tokens[place].after_break:
            if not _lists_on(reading, place, starts, closing):
                break
            end = place + _SCOPE
        if place in starts:
            past = next((p for p in range(place + 1, starts[place]) if reading.tokens[p].after_break), starts[place])
            denied += [p for p in range(place, past) if p in starts]
            place = past
        elif place in transparent:
            place += 1
        else:
            break
    return denied


def _lists_on(reading: Reading, place: int, starts: dict[int, int], closing: set[int]) -> bool:
    """Whether `place` begins a further item of a list that ends in "or": "no fever, rash or headache"."""
    while place in starts:
        place = starts[place]
        if place in closing:
            return True
        if place >= len(reading.tokens) or not reading.tokens[place].after_break:
            return False
    return False
