"""What a mention is about: present or denied, now or long ago, this patient or a dog, a person or a form.

Each answer errs towards "present, now, this patient": a wrong denial costs a life, a missed one a question.
"""

from __future__ import annotations

from dataclasses import dataclass

from bedside.knowledge.red_flags import Lexicon, Marker
from bedside.safety.concepts import Mention, Reading

_SCOPE = 5
"""A negation reaches five words at most."""
_OWN_REACH = 3
"""What begins within three words after the caller or one of their family is said of them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The mentions of a turn, sorted by whether they hold for the patient now.

    Attributes:
        live: what holds, or may hold.
        parked: what a marker other than a negation sets aside ("in 2019", "my dog"): worth the question whether it is happening now.
    """

    live: tuple[Mention, ...]
    parked: tuple[Mention, ...]


def scene(reading: Reading, mentions: list[Mention], lexicon: Lexicon) -> Scene:
    """Sort `mentions` by their context.

    Args:
        reading: the tokens they point to.
        mentions: what was found, in the order of the text.
        lexicon: its markers' names are concepts of `mentions` too.
    """
    markers = lexicon.markers
    mentions = [m for m in mentions if not ((m.concept == "benign" or m.concept in markers) and _broken(m, reading))]
    benign = [m for m in mentions if m.concept == "benign"]
    if benign:
        mentions = [m for m in mentions if m.concept == "benign" or not _swallowed(m, benign)]
    denied = _denied(reading, mentions)
    clauses = _clauses(reading, mentions)
    aside = _aside(mentions, markers, clauses, reading.sentences)
    own = {place for m in mentions if m.concept == "own_subject" for place in range(m.first, m.last + _OWN_REACH)} if aside else set()
    live, parked = [], []
    for mention in mentions:
        if mention.first in denied and mention.concept != "barrier":
            continue
        reaching = {name for place in range(mention.first, mention.last) for name in aside.get(place, ())} if aside else set()
        if mention.concept in markers or mention.concept in lexicon.never_aside:
            reaching = set()
        if any(_sets_aside(markers[name], mention, own) for name in reaching):
            parked.append(mention)
        else:
            live.append(mention)
    return Scene(tuple(live), tuple(parked))


def _broken(mention: Mention, reading: Reading) -> bool:
    """Whether speech breaks off inside the mention."""
    return any(token.after_break for token in reading.tokens[mention.first + 1 : mention.last])


def _sets_aside(marker: Marker, mention: Mention, own: set[int]) -> bool:
    if mention.concept in marker.spares or (marker.only and mention.concept not in marker.only):
        return False
    return not (marker.of_others and mention.first in own)


def _swallowed(mention: Mention, benign: list[Mention]) -> bool:
    """Whether a harmless saying shares words with the mention; a mention that contains the whole saying and more stands."""
    width = mention.last - mention.first
    return any(
        b.first < mention.last
        and mention.first < b.last
        and not (mention.first <= b.first and b.last <= mention.last and width > b.last - b.first)
        for b in benign
    )


def _denied(reading: Reading, mentions: list[Mention]) -> set[int]:
    """Places at which a mention that begins there is denied."""
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
            if m.last > m.first + 1:
                inside.update(range(m.first, m.last))
    closing = {m.first for m in mentions if m.concept == "list_close"}
    negators = [m for m in mentions if m.concept == "negator" and m.first not in sayings and m.first not in inside]
    transparent = {place for m in mentions if m.concept == "transparent" for place in range(m.first, m.last)}
    counts: dict[int, int] = {}
    second = {n.first for n in negators}
    for negator in negators:
        first = negator.last + (negator.last in second)
        for place in _reach(reading, first, starts, transparent, sayings | second, closing):
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


def _clauses(reading: Reading, mentions: list[Mention]) -> list[int]:
    """For each token, the number of its clause; "but", "oh and" and a break in speech begin one."""
    begins = {m.first for m in mentions if m.concept == "barrier"}
    numbers: list[int] = []
    clause = 0
    for place, token in enumerate(reading.tokens):
        clause += token.after_break or place in begins
        numbers.append(clause)
    return numbers


def _aside(mentions: list[Mention], markers: dict[str, Marker], clauses: list[int], sentences: list[int]) -> dict[int, set[str]]:
    """For each token that a marker reaches, the markers' names."""
    marking = [m for m in mentions if m.concept in markers]
    if not marking:
        return {}
    in_clause, in_sentence = _by_part(mentions, clauses), _by_part(mentions, sentences)
    reached: dict[int, set[str]] = {}
    for m in marking:
        marker = markers[m.concept]
        parts, said = (sentences, in_sentence) if marker.sentence else (clauses, in_clause)
        part = parts[m.first]
        if said[part].intersection(marker.lifted_by) or (marker.needs and said[part].isdisjoint(marker.needs)):
            continue
        for place in range(max(m.first - marker.back, 0), min(m.last + marker.ahead, len(parts))):
            if parts[place] == part:
                reached.setdefault(place, set()).add(m.concept)
    return reached


def _by_part(mentions: list[Mention], parts: list[int]) -> dict[int, set[str]]:
    """The concepts of each part of the text."""
    said: dict[int, set[str]] = {}
    for m in mentions:
        said.setdefault(parts[m.first], set()).add(m.concept)
    return said
