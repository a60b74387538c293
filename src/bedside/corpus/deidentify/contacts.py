"""Telephone numbers, email and web addresses, and addresses of machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from bedside.corpus.deidentify.data import read_yaml
from bedside.corpus.deidentify.phrases import Phrases
from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span
from bedside.knowledge.facts import built_in
from bedside.knowledge.sayings import Helpline

_SEP = r"[\s.,\-–()]{0,3}"
_NUMBER = re.compile(
    rf"(?:\+\s?61{_SEP}(?:\(?0\)?)?{_SEP}[2-478](?:{_SEP}\d){{8}}|\(?0[2-478]\)?(?:{_SEP}\d){{8}}|1[389]00(?:{_SEP}\d){{6}}|13{_SEP}\d{_SEP}\d{_SEP}\d{_SEP}\d"
    rf"|\+\s?\d{{1,3}}(?:{_SEP}\d){{7,12}}|\(?\d{{3}}\)?[\s.\-]{{1,2}}\d{{3}}[\s.\-]\d{{4}}(?:\s?x\d+)?|[3-9]\d{{3}}[\s\-]\d{{4}})(?![\d]|[.,]\d)"
)
_CUED = re.compile(
    r"(?:[\s:#.,\-–()]|\b(?:number|no|is|are|was|it's|its|um|uh|the|my|on|at|to|home|work|mobile|called|for|me|us|him|her|back|best|and|changed|now)\b)*(\+?\d(?:[\s.,\-–()]{0,3}\d){5,14})(?!\d)",
    re.IGNORECASE,
)
_YEARS = re.compile(r"(?:19|20)\d\d[\s\-](?:19|20)\d\d")
_EMAIL = re.compile(r"(?<![\w.+\-%'])[\w.+\-%']{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,8}\.\w{2,}", re.ASCII)
_HANDLE = re.compile(r"(?<![\w.])@[A-Za-z_]\w{2,}")
_URL = re.compile(
    r"(?:https?://|ftp://|www\.)\S+"
    r"|(?<![a-z0-9.\-])(?:[a-z0-9\-]{1,63}\.){1,8}(?:(?:com|net|org|edu|gov|info|io)(?:\.[a-z]{2})?\b(?:/\S*)?|(?:[a-z]{2,3})/\S+)",
    re.IGNORECASE,
)
_IP4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.]\d|\d)")
_IP6 = re.compile(
    r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:){1,6}:(?:[0-9a-f]{1,4}:?){1,6}|(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2})(?![\w:])",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?"


@cache
def _cues() -> Phrases:
    return Phrases(read_yaml("contact_cues.yaml"))


@cache
def _published() -> frozenset[str]:
    """Digits of helplines, which are nobody's own."""
    return frozenset(line.digits for line in built_in(Helpline, "helplines.yaml") if line.digits)


def find_contacts(reading: Reading) -> Iterator[Span]:
    """Telephone and fax numbers that are no published helpline, email and web addresses, IP and MAC addresses."""
    yield from _addresses(reading.text)
    if not reading.numbers:
        return
    text = reading.text
    for place in reading.codes:
        if text[place - 1 : place] not in (".", "/") or not place:
            found = _NUMBER.match(text, place)
            if found and not _YEARS.fullmatch(found.group()) and is_private(found.group()):
                yield Span(*found.span(), "PHONE", 0.85, "contacts")
    for place in reading.numbers:
        if found := _IP4.match(text, place):
            yield Span(*found.span(), "IP", 0.98, "contacts")
    for type_, _, end in _cues().find(reading):
        found = _CUED.match(text, reading.words[end - 1].end)
        if found and is_private(found.group(1)):
            # The number ends where one of a known look does; what is cued alone may run on into the next.
            whole = _NUMBER.match(text, found.start(1))
            yield Span(found.start(1), whole.end() if whole else found.end(1), type_, 0.9, "contacts")


def _addresses(text: str) -> Iterator[Span]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Span(*match.span(), "EMAIL", 0.99, "contacts")
        for match in _HANDLE.finditer(text):
            yield Span(*match.span(), "URL", 0.7, "contacts")
    if "." in text:
        for chunk in _chunks(text):
            for match in _URL.finditer(text, *chunk):
                yield Span(match.start(), match.start() + len(match.group().rstrip(_TRAILING)), "URL", 0.95, "contacts")
    if text.count(":") > 3 or text.count("-") > 4:
        for match in _IP6.finditer(text):
            yield Span(*match.span(), "IP", 0.98, "contacts")


def _chunks(text: str) -> Iterator[tuple[int, int]]:
    """Runs without a space that hold a stop followed by a letter."""
    done = 0
    for stop in _STOP.finditer(text):
        if stop.start() >= done:
            start = max(text.rfind(white, 0, stop.start()) for white in " \n\t<\"'([") + 1
            end = _END.search(text, stop.end())
            done = end.start() if end else len(text)
            yield start, done


_STOP = re.compile(r"[.:](?=[A-Za-z/])(?<=\w.)")
_END = re.compile(r"[\s<>\"')\]]")


def is_private(number: str) -> bool:
    """Whether a number is that of no published helpline."""
    return re.sub(r"\D", "", number) not in _published()
