"""Street addresses, post boxes, towns and suburbs, and facilities by name."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache

from bedside.corpus.deidentify.data import read_lines, read_words, read_yaml
from bedside.corpus.deidentify.reading import Reading, Word
from bedside.corpus.deidentify.spans import Span
from bedside.corpus.deidentify.words import CLINICAL, NAME, NEVER, ORDINARY, clinical_heads

_STATE = r"(?:n\.?s\.?w\b\.?|v\.?i\.?c\b\.?|q\.?l\.?d\b\.?|tas\b|s\.?a\b\.?|w\.?a\b\.?|a\.?c\.?t\b\.?|n\.?t\b\.?|new south wales|victoria|queensland|tasmania|south australia|western australia|australian capital territory|northern territory)"
_NOT_IN_STREET = (
    r"(?:on|the|in|at|to|of|and|or|for|from|a|an|my|his|her|down|up|by|per|with|days?|weeks?|months?|years?|hours?|hrs?|minutes?|mins?|seconds?|mg|mcg|ml|kg|cm|mm|times|tablets?|tabs?|caps?|puffs?|drops?|units?|doses?|yo|old|is|was|has|i|he|she|we|it|they|then|than|"
    r"nocte|mane|bd|tds|am|pm|into|along|off|after|before|daily|people|kids|children|blocks?|metres?|km|kms|good|big|long)"
)
_UNIT = r"(?:(?:unit|apartment|apt\.?|flat|suite|ste\.?|shop|lot|level|villa|townhouse|room|floor|u|no\.?|number)\s?\#?\d{1,5}\s?[a-z]?\b[\s,/]{0,3}(?:(?:slash|level \d+|of|at)\b[\s,]*)?)"
_NUMBER = r"\d{1,5}[a-z]?(?:\s?[/\-–]\s?\d{1,5}[a-z]?|\sslash\s\d{1,5}[a-z]?)?"
_TAIL = re.compile(rf"[\s,.]{{0,4}}(?:in\s|at\s)?(?P<place>(?:[^\W\d_][\w'’\-]*[ ]?){{0,4}}?)[\s,.\-]{{0,4}}\b(?P<state>{_STATE})?[\s,.]{{0,3}}(?:(?:postcode|post code|p/c)\s(?:is\s)?)?(?P<code>(?<!\d)\d{{4,5}}(?:-\d{{4}})?(?![\d/]|[.,]\d|\s?(?:mg|mcg|ml|units)\b))?", re.IGNORECASE)
_BOX = re.compile(r"\b(?:(?:g\.?\s?)?p\.?\s?o\.?\s?box|post office box|locked bag|private bag|rmb|rsd|care po|cmb|mail bag)\s?(?:number\s)?\d+\b", re.IGNORECASE)
_POSTCODE = re.compile(r"\b(?:post\s?code|zip(?: code)?|p/c)(?:[\s:]|\b(?:is|number)\b)*(\d{4,5}(?:-\d{4})?)\b", re.IGNORECASE)
_STATED = re.compile(rf"\b(?:[^\W\d_][\w'’\-]*[ ,]{{1,2}}){{1,3}}?{_STATE}[\s,]{{1,3}}\d{{4}}\b", re.IGNORECASE)
_BEFORE_PLACE = frozenset("in from at near to around live lives lived outside moved visiting suburb town city via of".split())


@cache
def _street() -> re.Pattern[str]:
    types = "|".join(sorted(read_words("street_types.txt"), key=len, reverse=True))
    name = rf"(?:(?!{_NOT_IN_STREET}\b)[^\W\d_][\w'’\-]*\.?[ ]){{1,3}}?"
    return re.compile(
        rf"(?:{_UNIT})?(?<![\w.$/])(?:{_NUMBER})[\s,]{{1,2}}(?:{name}(?:{types})\b\.?(?:\s(?:north|south|east|west|n|s|e|w)\b)?|the\s(?:esplanade|parade|avenue|boulevard|crescent|terrace|strand|mall|promenade|circle|grove|[^\W\d_]+(?:way|walk))\b"
        rf"|(?:avenue|boulevard|rue|via|highway|route|rte\.?)\s(?!{_NOT_IN_STREET}\b)[^\W\d_][\w'’\-]*)"
        rf"|{_UNIT}(?=[,\s]*\n)|\b(?:corner of|cnr)\s{name}(?:(?:{types})\s)?(?:and|&)\s{name}(?:{types})\b"
        rf"|(?<=\bon )(?!{_NOT_IN_STREET}\b)(?:(?!{_NOT_IN_STREET}\b)[^\W\d_][\w'’\-]*[ ]){{1,2}}?(?:street|road|avenue|parade|terrace|highway|lane|crescent|st\b(?!\s[A-Z]))\b",
        re.IGNORECASE,
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
    for name in _localities().get(words[index].key.replace("'", "").replace("-", " ").split(" ")[0], ()):
        here = words[index : index + len(name)]
        if tuple(word.key.replace("'", "") for word in here) == name and all(word.close for word in here[1:]):
            return len(name)
    return 0


def find_addresses(reading: Reading) -> Iterator[Span]:
    """Street addresses and boxes with their locality, state and postcode, and postcodes behind their name."""
    text = reading.text
    if any(letter.isdigit() for letter in text):
        for match in _POSTCODE.finditer(text):
            yield Span(*match.span(1), "ADDRESS", 0.95, "places")
        for match in _STATED.finditer(text):
            yield Span(_capital_start(reading, match), match.end(), "ADDRESS", 0.85, "places")
        for match in _BOX.finditer(text):
            yield Span(match.start(), _tail_end(reading, match.end()), "ADDRESS", 0.95, "places")
    for match in _street().finditer(text):
        yield Span(match.start(), _tail_end(reading, match.end()), "ADDRESS", 0.9, "places")


def _capital_start(reading: Reading, match: re.Match[str]) -> int:
    """Where the name of the place begins: behind words in lower case if any word before the state has a capital."""
    index = bisect_left(reading.starts, match.start())
    words = [word for word in reading.words[index : index + 6] if word.end <= match.end()]
    start = next((word.start for place, word in enumerate(words) if word.capital or locality_at(reading.words, index + place)), None)
    return match.start() if start is None else start


def _tail_end(reading: Reading, end: int) -> int:
    """Where the address that began before `end` ends: behind the place, state and postcode that follow."""
    words = reading.words
    index = bisect_left(reading.starts, end)
    tail = _TAIL.match(reading.text, end)
    if tail and (tail["code"] or tail["state"]) and not any(word in _BEFORE_PLACE for word in tail["place"].lower().split()):
        return tail.end("code" if tail["code"] else "state")
    skipped = index + (index < len(words) and words[index].key in ("in", "at"))
    if skipped < len(words) and (count := locality_at(words, skipped)) and not words[skipped].gap.strip(" ,\n.") and words[skipped].start - end < 6:
        last = words[skipped + count - 1].end
        return _tail_end(reading, last) if reading.text[last : last + 2].strip(" ,") else _stated_end(reading, last)
    return end


def _stated_end(reading: Reading, end: int) -> int:
    tail = _TAIL.match(reading.text, end)
    return tail.end("code" if tail["code"] else "state") if tail and not tail["place"] and (tail["code"] or tail["state"]) else end


def find_localities(reading: Reading) -> Iterator[Span]:
    """Towns and suburbs of the gazetteer; one that is an ordinary word too needs its capital and a word such as "in" before it."""
    words = reading.words
    index = 0
    while index < len(words):
        count = locality_at(words, index)
        if count and _is_place(words, index, count):
            yield Span(words[index].start, words[index + count - 1].end, "LOCATION", 0.8, "places")
        index += count or 1


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
def _facilities() -> tuple[re.Pattern[str], re.Pattern[str], frozenset[str]]:
    table = read_yaml("facilities.yaml")
    kinds, known = ("|".join(sorted(map(re.escape, table[key]), key=len, reverse=True)) for key in ("kinds", "known"))
    return re.compile(rf"\b(?:{kinds})\b"), re.compile(rf"\b(?:{known})\b(?:\s(?:hospital|pharmacy|pathology|imaging|radiology|health))*"), frozenset(map(str, table["nobodys"]))


def find_facilities(reading: Reading) -> Iterator[Span]:
    """Hospitals, practices, schools and workplaces with a name of their own."""
    by_kind, known, nobodys = _facilities()
    for match in known.finditer(reading.lower):
        yield Span(*match.span(), "FACILITY", 0.85, "places")
    for match in by_kind.finditer(reading.lower):
        last = bisect_left(reading.starts, match.start())
        first = last
        while first and last - first < 6 and _belongs(reading.words, first, last, nobodys):
            first -= 1
        while first < last and (reading.words[first].key in nobodys or reading.words[first].key in ("and", "&")):
            first += 1
        own = reading.words[first:last]
        if any(word.capital if reading.cased else _named(word) for word in own):
            yield Span(own[0].start, match.end(), "FACILITY", 0.8, "places")
        elif reading.cased and (of := re.match(r"\sof\s(?:[A-Z][\w'’-]+\s?){1,3}", reading.text[match.end() : match.end() + 60])):
            yield Span(match.start(), match.end() + of.end(), "FACILITY", 0.75, "places")


def _belongs(words: tuple[Word, ...], first: int, last: int, nobodys: frozenset[str]) -> bool:
    """Whether the word before `first` is part of the facility's name."""
    word, next_ = words[first - 1], words[first] if first < len(words) else None
    if next_ is not None and not next_.close and next_.gap.strip(" '’s&"):
        return False
    if word.capital:
        return word.key not in ("i", "the", "at", "in")
    if any(one.capital for one in words[first:last]):
        return word.key in ("of", "and", "the", "for") and first > 1 and words[first - 2].capital
    return word.key not in nobodys and not (word.bits & NEVER and word.key not in ("south", "north", "east", "west", "street", "road", "point")) and last - first < 4


def _named(word: Word) -> bool:
    return not word.bits & ORDINARY or word.key in ("royal", "saint", "queen", "prince", "princess", "holy", "sacred", "calvary", "mercy", "mater")
