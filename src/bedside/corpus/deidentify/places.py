"""Street addresses, post boxes, towns and suburbs, and facilities by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from bedside.corpus.deidentify.data import read_lines, read_words, read_yaml
from bedside.corpus.deidentify.phrases import Phrases
from bedside.corpus.deidentify.reading import Reading, Word
from bedside.corpus.deidentify.spans import Span
from bedside.corpus.deidentify.words import CLINICAL, NAME, NEVER, ORDINARY, clinical_heads

_STATE = r"(?:n\.?s\.?w\b\.?|v\.?i\.?c\b\.?|q\.?l\.?d\b\.?|tas\b|s\.?a\b\.?|w\.?a\b\.?|a\.?c\.?t\b\.?|n\.?t\b\.?|new south wales|victoria|queensland|tasmania|south australia|western australia|australian capital territory|northern territory)"
_NOT_IN_STREET = (
    r"(?:on|the|in|at|to|of|and|or|for|from|a|an|my|his|her|down|up|by|per|with|days?|weeks?|months?|years?|hours?|hrs?|minutes?|mins?|seconds?|mg|mcg|ml|kg|cm|mm|times|tablets?|tabs?|caps?|puffs?|drops?|units?|doses?|yo|is|was|has|i|he|she|we|it|they|then|than|"
    r"nocte|mane|bd|tds|am|pm|into|along|off|after|before|daily|people|kids|children|blocks?|metres?|km|kms)"
)
_UNIT = r"(?:(?:unit|apartment|apt\.?|flat|suite|ste\.?|shop|lot|level|villa|townhouse|room|floor|u|no\.?|number)\s?\#?\d{1,5}\s?[a-z]?\b[\s,/]{0,3}(?:(?:slash|level \d+|of|at)\b[\s,]*)?)"
_NUMBER = r"\d{1,5}[a-z]?(?:\s?[/\-–]\s?\d{1,5}[a-z]?|\sslash\s\d{1,5}[a-z]?)?"
_CODE_AT = r"(?<!\d)\d{4,5}(?:-\d{4})?(?![\d/]|[.,]\d|\s?(?:mg|mcg|ml|units)\b)"
_TAIL = re.compile(
    rf"[\s,.]{{0,4}}(?:in\s|at\s)?(?P<place>(?:[^\W\d_][\w'’\-]*[ ]?){{0,4}}?)[\s,.\-]{{0,4}}\b(?:{_STATE}(?:[\s,.]{{0,3}}(?:(?:postcode|post code|p/c)\s(?:is\s)?)?{_CODE_AT})?|{_CODE_AT})",
    re.IGNORECASE,
)
_BOX = re.compile(r"\s?(?:number\s)?\d+\b")
_POSTCODE = re.compile(r"(?:[\s:]|\b(?:is|number)\b)*(\d{4,5}(?:-\d{4})?)\b", re.IGNORECASE)
_CODE = re.compile(r"\.?[\s,]{1,3}\d{4}\b(?![.,]\d)")
_LEADS_TO_PLACE = frozenset(("in", "from", "near", "around", "outside"))
_BETWEEN = re.compile(r"[\s,.]{0,3}(?:(?:in|at)\s)?", re.IGNORECASE)
_HOUSE = re.compile(r"(?<![\w.$/])\d{1,5}[a-z]?(?:[/\-]\d{1,5})?\s[A-Z][^\d\n.;:]*\Z")
_OF = re.compile(r"\sof\s(?:[A-Z][\w'’-]+\s?){1,3}")
_BEFORE_PLACE = frozenset(
    [
        "in",
        "from",
        "at",
        "near",
        "to",
        "around",
        "live",
        "lives",
        "lived",
        "outside",
        "moved",
        "visiting",
        "suburb",
        "town",
        "city",
        "via",
        "of",
    ]
)


@dataclass(frozen=True)
class _Streets:
    numbered: re.Pattern[str]
    unit: re.Pattern[str]
    corner: re.Pattern[str]
    on: re.Pattern[str]
    cues: Phrases


@cache
def _streets() -> _Streets:
    types = "|".join(sorted(read_words("street_types.txt"), key=len, reverse=True))
    word = rf"(?!{_NOT_IN_STREET}\b)[^\W\d_][\w'’\-]*"
    name = rf"(?:{word}\.?[ ]){{1,3}}?"
    side = r"(?:\s(?:north|south|east|west|n|s|e|w)\b)?"
    alone = "the\\s(?:esplanade|parade|avenue|boulevard|crescent|terrace|strand|mall|promenade|circle|grove|[^\\W\\d_]+(?:way|walk))\\b"
    numbered = rf"{_NUMBER}[\s,]{{1,2}}(?:{name}(?:{types})\b\.?{side}|{alone}|(?:avenue|boulevard|rue|via|highway|route|rte\.?)\s{word})"
    return _Streets(
        re.compile(numbered, re.IGNORECASE),
        re.compile(rf"{_UNIT}(?:{numbered}|(?=[,\s]*\n))", re.IGNORECASE),
        re.compile(rf"\s(?:of\s)?{name}(?:(?:{types})\s)?(?:and|&)\s{name}(?:{types})\b", re.IGNORECASE),
        re.compile(rf"\s({word}[ ](?:{word}[ ])?(?:street|road|avenue|parade|terrace|highway|lane|crescent))\b", re.IGNORECASE),
        Phrases(read_yaml("address_cues.yaml")),
    )


@cache
def _localities() -> dict[str, tuple[tuple[str, ...], ...]]:
    """By first word, the words of each town or suburb that begins with it, longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in read_lines("localities.txt"):
        words = tuple(line.split())
        found.setdefault(words[0], []).append(words)
    return {first: tuple(sorted(names, key=len, reverse=True)) for first, names in found.items()}


def locality_at(words: tuple[Word, ...], index: int) -> int:
    """How many words from `index` on are the name of a town or suburb of the gazetteer; 0 for none."""
    for name in _localities().get(words[index].key, ()):
        here = words[index : index + len(name)]
        if tuple(word.key for word in here) == name and all(word.close for word in here[1:]):
            return len(name)
    return 0


def find_addresses(reading: Reading) -> Iterator[Span]:
    """Street addresses and boxes with their locality, state and postcode, and postcodes behind their name."""
    text, words, streets = reading.text, reading.words, _streets()
    for cue, first, end in streets.cues.find(reading):
        start, behind = words[first].start, words[end - 1].end
        if cue == "postcode" and (found := _POSTCODE.match(text, behind)):
            yield Span(*found.span(1), "ADDRESS", 0.95, "places")
        elif cue == "box" and (found := _BOX.match(text, behind)):
            yield Span(start, _tail_end(reading, found.end()), "ADDRESS", 0.95, "places")
        elif cue == "unit" and (found := streets.unit.match(text, start)):
            yield Span(start, _tail_end(reading, found.end()), "ADDRESS", 0.9, "places")
        elif cue == "corner" and (found := streets.corner.match(text, behind)):
            yield Span(start, _tail_end(reading, found.end()), "ADDRESS", 0.85, "places")
        elif cue == "on" and (found := streets.on.match(text, behind)):
            yield Span(found.start(1), _tail_end(reading, found.end()), "ADDRESS", 0.8, "places")
        elif cue == "state" and (found := _CODE.match(text, behind)):
            yield Span(_place_start(reading, first), found.end(), "ADDRESS", 0.85, "places")
    for place in reading.numbers:
        if not (place and (text[place - 1] in ".$/" or text[place - 1].isalnum())) and (found := streets.numbered.match(text, place)):
            yield Span(place, _tail_end(reading, found.end()), "ADDRESS", 0.9, "places")


def state_of(address: str) -> tuple[str, str]:
    """(postcode, state) to stand in for those of an address: the state it names or its postcode is of, and the postcode of its capital."""
    lower = address.lower()
    named = next(
        (short for short, spellings in _states().items() if any(re.search(rf"\b{name}\b", lower) for name in spellings["names"])), None
    )
    code = re.search(r"\b(\d{4})\W*$", address)
    by_code = code and next((short for short, one in _states().items() if code[1][0] in one["first"]), None)
    state = named or by_code
    return (_states()[state]["capital"] if code and state else "", named or "")


@cache
def _states() -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = read_yaml("states.yaml")
    return states


def _place_start(reading: Reading, index: int) -> int:
    """Where the name of the place before a state and postcode begins: at most three words, capitalised ones if any are."""
    words = reading.words
    first = index
    while (
        first
        and index - first < 3
        and words[first].gap.strip(" ,\n") == ""
        and len(words[first].gap) < 4
        and (words[first - 1].capital or not reading.cased)
    ):
        if words[first - 1].bits & NEVER and not words[first - 1].capital:
            break
        first -= 1
    start = words[first].start
    number = _HOUSE.search(reading.text, max(0, start - 40), start)
    return number.start() if number else start


def _tail_end(reading: Reading, end: int) -> int:
    """Where the address that began before `end` ends: behind the place, state and postcode that follow."""
    words = reading.words
    index = reading.index_at(end)
    tail = _TAIL.match(reading.text, end)
    if tail and not any(word in _BEFORE_PLACE for word in tail["place"].lower().split()):
        return tail.end()
    skipped = index + (index < len(words) and words[index].key in ("in", "at"))
    if skipped < len(words) and (count := locality_at(words, skipped)) and _BETWEEN.fullmatch(reading.text, end, words[skipped].start):
        last = words[skipped + count - 1].end
        return last if (tail := _TAIL.match(reading.text, last)) is None or tail["place"] else tail.end()
    return end


def find_localities(reading: Reading) -> Iterator[Span]:
    """Towns and suburbs of the gazetteer, and unknown words behind "in" or "from".

    A town that is an ordinary word too needs its capital and such a word before it.
    """
    words, known = reading.words, _localities()
    done = 0
    for index, word in enumerate(words):
        if index >= done and word.key in known and (count := locality_at(words, index)) and _is_place(words, index, count):
            done = index + count
            yield Span(word.start, words[done - 1].end, "LOCATION", 0.8, "places")
        elif index >= done and not word.bits and len(word.key) > 4 and index and words[index - 1].key in _LEADS_TO_PLACE and word.close:
            yield Span(word.start, word.end, "LOCATION", 0.5, "places")


def _is_place(words: tuple[Word, ...], index: int, count: int) -> bool:
    word = words[index]
    after = words[index + count].key if index + count < len(words) else ""
    before = words[index - 1].key if index else ""
    if after in clinical_heads():
        return False
    led = before in _BEFORE_PLACE
    if count > 1:
        return word.capital or led or not all(one.bits & ORDINARY for one in words[index : index + count])
    if word.bits & ORDINARY or word.bits & NAME:
        return led and word.capital and not word.bits & CLINICAL
    return True


@cache
def _facilities() -> tuple[Phrases, dict[str, frozenset[str]]]:
    table = read_yaml("facilities.yaml")
    return Phrases({"kind": table["kinds"], "known": table["known"]}), {key: frozenset(table[key]) for key in ("stops", "nobodys", "named")}


def find_facilities(reading: Reading) -> Iterator[Span]:
    """Hospitals, practices, schools and workplaces with a name of their own."""
    phrases, sets = _facilities()
    words = reading.words
    for label, last, behind in phrases.find(reading):
        end = words[behind - 1].end
        first = last
        if label == "known":
            yield Span(words[first].start, end, "FACILITY", 0.85, "places")
            continue
        while first and last - first < 6 and _belongs(words, first, last, sets["stops"]):
            first -= 1
        while first < last and words[first].key in sets["nobodys"]:
            first += 1
        own = words[first:last]
        if own and (
            behind - last > 1
            or any(word.capital if reading.cased else not word.bits & ORDINARY or word.key in sets["named"] for word in own)
        ):
            yield Span(own[0].start, end, "FACILITY", 0.8, "places")
        elif reading.cased and (of := _OF.match(reading.text, end)):
            yield Span(words[last].start, of.end(), "FACILITY", 0.75, "places")


def _belongs(words: tuple[Word, ...], first: int, last: int, stops: frozenset[str]) -> bool:
    """Whether the word before `first` is part of the facility's name."""
    word, next_ = words[first - 1], words[first] if first < len(words) else None
    if next_ is not None and not next_.close and next_.gap.strip(" '’s&"):
        return False
    if word.capital:
        return word.key not in stops
    if any(one.capital for one in words[first:last]):
        return word.key in ("of", "and", "the", "for") and first > 1 and words[first - 2].capital
    return word.key not in stops and last - first < 4
