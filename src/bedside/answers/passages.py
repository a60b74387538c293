"""Cuts a document into passages that a sentence embedder reads whole, and a passage into sentences, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bedside.answers.documents import Block, Document
from bedside.safety.guard import sentences

WORDS = 160
"""The most words a passage holds: with its headings they stay below the 256 tokens that all-MiniLM-L6-v2 reads."""

_WORD = re.compile(r"\S{1,80}")
"""What counts as a word; a run of letters without a blank counts as several."""
_ITEM = re.compile(r"\s*(?:[-*•·–▪◦]|\(?\d{1,2}[.)]|[a-z][.)])\s")
_NARROW = 0.6
"""A line that is shorter than this share of the longest one was ended by its writer, not by the margin."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document below one heading and, in a PDF, on one page.

    Attributes:
        heading: the headings above it, outermost first, parted by " › "; "" where there is none.
        page: from 1; None where the format has no pages.
        start, end: its place in the document's text, in characters.
        text: its words: `document.text[start:end]`.
    """

    heading: str
    page: int | None
    start: int
    end: int
    text: str


def passages(document: Document) -> Iterator[Passage]:
    """Passages of at most `WORDS` words, cut at headings, pages, paragraphs and, where a paragraph is longer, sentences.

    A heading with nothing below it is a passage of its own, so that no word of a document is lost.
    """
    above: list[tuple[int, str]] = []
    held: list[Block] = []

    def cut() -> Iterator[Passage]:
        if held:
            heading = " › ".join(words for _, words in above)
            yield Passage(heading, held[0].page, held[0].start, held[-1].end, document.text[held[0].start : held[-1].end])
            held.clear()

    bare: Block | None = None
    for block in document.blocks:
        if block.level:
            yield from cut()
            if bare and bare.level >= block.level:
                yield _alone(document, bare, above[:-1])
            while above and above[-1][0] >= block.level:
                above.pop()
            above.append((block.level, _heading(document, block)))
            bare = block
            continue
        bare = None
        for piece in _pieces(document.text, block):
            if held and (held[0].page != piece.page or _size(document.text, held[0].start, piece.end) > WORDS):
                yield from cut()
            held.append(piece)
    yield from cut()
    if bare:
        yield _alone(document, bare, above[:-1])


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The place of each sentence, list item and table row of a text, without the blanks around it.

    Lines that were only wrapped at a margin belong to one sentence.
    """
    cuts = [0, *_line_cuts(text), len(text)]
    spans = []
    for first, last in pairwise(cuts):
        place = first
        for sentence in sentences(text[first:last]):
            words = sentence.strip()
            if any(letter.isalnum() for letter in words):
                start = place + sentence.index(words)
                spans.append((start, start + len(words)))
            place += len(sentence)
    return spans


def is_item(line: str) -> bool:
    """Whether a line is an item of a list, by the mark or number that it begins with."""
    return bool(_ITEM.match(line))


def _line_cuts(text: str) -> Iterator[int]:
    lines = text.split("\n")
    width = max(map(len, lines)) * _NARROW
    place = 0
    for line, following in pairwise(lines):
        place += len(line) + 1
        if not line.strip() or len(line) < width or " | " in line + following or is_item(following):
            yield place


def _heading(document: Document, block: Block) -> str:
    return " ".join(document.text[block.start : block.end].strip("# \t\r").split())[:200]


def _alone(document: Document, block: Block, above: list[tuple[int, str]]) -> Passage:
    heading = " › ".join(words for _, words in above)
    return Passage(heading, block.page, block.start, block.end, document.text[block.start : block.end])


def _size(text: str, start: int, end: int) -> int:
    return sum(1 for _ in _WORD.finditer(text, start, end))


def _pieces(text: str, block: Block) -> Iterator[Block]:
    """The block, or runs of its sentences that hold at most `WORDS` words; a longer sentence is cut at a word."""
    if _size(text, block.start, block.end) <= WORDS:
        yield block
        return
    spans = [
        part
        for start, end in sentence_spans(text[block.start : block.end])
        for part in _short(text, block.start + start, block.start + end)
    ]
    first, last = spans[0]
    for start, end in spans[1:]:
        if _size(text, first, end) > WORDS:
            yield Block(first, last, page=block.page)
            first = start
        last = end
    yield Block(first, last, page=block.page)


def _short(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    words = [match.span() for match in _WORD.finditer(text, start, end)]
    for first in range(0, len(words), WORDS):
        yield words[first][0], words[min(first + WORDS, len(words)) - 1][1]
