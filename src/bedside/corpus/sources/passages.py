"""Cuts a document into passages of about 300 words, at headings and paragraphs where it can."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

WORDS = 300
"""The most words a passage holds."""

_HEADING_CUTS_AT = WORDS // 3
_WORD = re.compile(r"\S+")
_SENTENCE_ENDS = ".!?:;"


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or table of a document.

    Attributes:
        text: its words.
        place: where it stands in its file, as people would say it (a line, `page 3`, `paragraph 12`).
        heading: whether it names what follows it.
        page: its page from 1; None where the format has no pages.
    """

    text: str
    place: str
    heading: bool = False
    page: int | None = None


def passages(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Groups of blocks of at most `WORDS` words and one page each.

    A heading begins a new passage once the one before it is a third full, and never stands last in one unless nothing follows it. A longer
    paragraph is cut at the end of a sentence.
    """
    held: list[Block] = []
    size = 0
    for block in chain.from_iterable(map(_pieces, blocks)):
        more = len(block.text.split())
        full = size + more > WORDS or (block.heading and size >= _HEADING_CUTS_AT)
        if held and (full or block.page != held[0].page):
            last = _trailing_headings(held)
            if len(last) < len(held):
                yield held[: len(held) - len(last)]
            held, size = last, sum(len(heading.text.split()) for heading in last)
        held.append(block)
        size += more
    if held:
        yield held


def _trailing_headings(blocks: list[Block]) -> list[Block]:
    count = next((index for index, block in enumerate(reversed(blocks)) if not block.heading), len(blocks))
    return blocks[len(blocks) - count :]


def _pieces(block: Block) -> Iterator[Block]:
    """The block itself, or runs of at most `WORDS` words of it."""
    spans = [match.span() for match in _WORD.finditer(block.text)]
    start = 0
    while start < len(spans):
        stop = min(start + WORDS, len(spans))
        if stop < len(spans):
            stop = _good_stop(block.text, [end for _, end in spans[start + WORDS // 2 : stop]], stop)
        yield replace(block, text=block.text[spans[start][0] : spans[stop - 1][1]])
        start = stop


def _good_stop(text: str, ends: list[int], stop: int) -> int:
    """Before which word to cut, given where the words end that might be last: behind a sentence, else behind a line, else at `stop`."""
    behind = range(stop - len(ends) + 1, stop + 1)
    sentences = [index for index, end in zip(behind, ends, strict=True) if text[end - 1] in _SENTENCE_ENDS]
    lines = [index for index, end in zip(behind, ends, strict=True) if text[end : end + 1] in ("\n", "\r")]
    return max(sentences or lines or [stop])
