"""Telephone numbers, email and web addresses, and addresses of machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from bedside.corpus.deidentify.reading import Reading
from bedside.corpus.deidentify.spans import Span
from bedside.knowledge.facts import built_in
from bedside.knowledge.sayings import Helpline

_SEP = r"[\s.,\-–()]{0,3}"
_NUMBERS = re.compile(
    rf"(?<![\d.])(?:\+\s?61{_SEP}(?:\(?0\)?)?{_SEP}[2-478](?:{_SEP}\d){{8}}|\(?0[2-478]\)?(?:{_SEP}\d){{8}}|1[389]00(?:{_SEP}\d){{6}}"
    rf"|13{_SEP}\d{_SEP}\d{_SEP}\d{_SEP}\d|\+\s?\d{{1,3}}(?:{_SEP}\d){{7,12}}|\(?\d{{3}}\)?[\s.\-]{{1,2}}\d{{3}}[\s.\-]\d{{4}}(?:\s?x\d+)?|[3-9]\d{{3}}[\s\-]\d{{4}})(?![\d]|[.,]\d)"
)
_CUE = re.compile(
    r"\b(?:(f(?:ax|acsimile)\b|fx\b)|(?:tele)?phone|mobile|mob\b|cell\b|ph\b|tel\b|landline|contact(?: number)?|home number|work number|call(?:ing)?(?: me| us| him| her| them)?(?: back)? (?:on|at|from)|(?:ring|reach|text|contact) (?:me|us|him|her|them)(?: back)? (?:on|at)|(?:my|his|her|their|our|best|phone) number)"
    r"(?:[\s:#.,\-–(]|\b(?:number|no|is|are|was|it's|its|um|uh|the|my|on|at|to|home|work|mobile|called|for|me|best|and)\b)*(\+?\d(?:[\s.,\-–()]{0,3}\d){5,14})(?!\d)",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+\-%']+@[\w\-]+(?:\.[\w\-]+)+", re.ASCII | re.IGNORECASE)
_URL = re.compile(r"\b(?:https?://|ftp://|www\.)[^\s<>\"')\]]+|\b(?:[a-z0-9\-]+\.)+(?:com|net|org|edu|gov|info|io)(?:\.[a-z]{2})?\b(?:/[^\s<>\"')\]]*)?|\b(?:[a-z0-9\-]+\.)+(?:[a-z]{2,3})/[^\s<>\"')\]]+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w.])@[A-Za-z_]\w{2,}")
_IP = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])|(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}:(?:[0-9a-f]{1,4}:?){1,6}(?![\w:])|(?<![\w:])(?:[0-9A-F]{2}[:-]){5}[0-9A-F]{2}(?![\w:])", re.IGNORECASE)


@cache
def _published() -> frozenset[str]:
    """Digits of helplines, which are nobody's own."""
    return frozenset(line.digits for line in built_in(Helpline, "helplines.yaml") if line.digits)


def find_contacts(reading: Reading) -> Iterator[Span]:
    """Telephone and fax numbers that are no published helpline, email and web addresses, IP and MAC addresses."""
    text = reading.text
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Span(match.start(), match.end() - (match.group()[-1] in ".-"), "EMAIL", 0.99, "contacts")
        for match in _HANDLE.finditer(text):
            yield Span(*match.span(), "URL", 0.7, "contacts")
    if "." in text:
        for match in _URL.finditer(text):
            end = match.end() - (len(match.group()) - len(match.group().rstrip(".,;:!?")))
            yield Span(match.start(), end, "URL", 0.95, "contacts")
    for match in _IP.finditer(text):
        yield Span(*match.span(), "IP", 0.98, "contacts")
    if not any(letter.isdigit() for letter in text):
        return
    for match in _NUMBERS.finditer(text):
        if re.sub(r"\D", "", match.group()) not in _published() and not _years(match.group()):
            yield Span(*match.span(), "PHONE", 0.85, "contacts")
    for match in _CUE.finditer(text):
        if re.sub(r"\D", "", match.group(2)) not in _published():
            yield Span(*match.span(2), "FAX" if match.group(1) else "PHONE", 0.9, "contacts")


def _years(number: str) -> bool:
    return re.fullmatch(r"(?:19|20)\d\d[\s\-](?:19|20)\d\d", number) is not None
