"""Lines of a text file with their numbers, and the place of every byte that cannot be decoded.

UTF-8 with or without a byte-order mark, and UTF-16 with one. Nothing raises on a bad byte: it stays in the text as a lone surrogate and
`Line.fault` says where it stands, so that one bad line costs one record. A line is held in memory whole, a file never is.
"""

from __future__ import annotations

import codecs
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bedside.corpus.sources.records import UNWRITABLE

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(slots=True)
class Line:
    """One line.

    Attributes:
        number: from 1.
        text: with its line end; undecodable bytes are lone surrogates.
        raw: the bytes it was decoded from.
        offset: of its first byte in the file.
        codec: `utf-8`, `utf-16-le` or `utf-16-be`.
    """

    number: int
    text: str
    raw: bytes
    offset: int
    codec: str
    _counted: tuple[int, int] = (0, 0)

    def fault(self, start: int = 0, end: int | None = None) -> str | None:
        """What cannot be decoded between two characters of the line, in words; None if all can."""
        bad = UNWRITABLE.search(self.text, start, len(self.text) if end is None else end)
        if bad is None:
            return None
        before = self._bytes_before(bad.start())
        return f"byte 0x{self.raw[before]:02x} at offset {self.offset + before} is not {self.codec[:6].rstrip('-').upper()} text"

    def _bytes_before(self, index: int) -> int:
        # Counts on from the last answer: an array of 100,000 rows on one line asks once a row.
        chars, size = self._counted if self._counted[0] <= index else (0, 0)
        size += len(self.text[chars:index].encode(self.codec, _errors(self.codec)))
        self._counted = (index, size)
        return size


def lines(path: Path) -> Iterator[Line]:
    """Every line of a file, in order.

    Raises:
        OSError: the file cannot be opened or read.
    """
    with path.open("rb") as stream:
        head = stream.read(3)
        mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
        codec = _MARKS.get(mark, "utf-8")
        offset = stream.seek(len(mark))
        for number, raw in enumerate(stream if codec == "utf-8" else _wide_lines(stream, codec), 1):
            yield Line(number, _decoded(raw, codec), raw, offset, codec)
            offset += len(raw)


def iconv_hint(path: Path, fault: str) -> str:
    """The command that would mend a file whose first `fault` is a byte that is no UTF-8."""
    # NUL bytes are what UTF-16 without a byte-order mark looks like; anything else is most often an old Windows export.
    codec = "UTF-16" if "0x00" in fault else "WINDOWS-1252"
    return f"Convert it, for example: iconv -f {codec} -t UTF-8 {shlex.quote(path.name)} > {shlex.quote(f'{path.stem}.utf8{path.suffix}')}"


def _errors(codec: str) -> str:
    return "surrogateescape" if codec == "utf-8" else "surrogatepass"


def _decoded(raw: bytes, codec: str) -> str:
    if codec == "utf-8":
        return raw.decode(codec, _errors(codec))
    half = chr(0xDC00 + raw[-1]) if len(raw) % 2 else ""
    return raw[: len(raw) // 2 * 2].decode(codec, _errors(codec)) + half


def _wide_lines(stream: BinaryIO, codec: str) -> Iterator[bytes]:
    """Lines of a UTF-16 stream: byte 0x0A ends one only as half of a whole U+000A."""
    newline = "\n".encode(codec)
    line = bytearray()
    for piece in stream:
        line += piece
        if len(line) % 2:
            line += stream.read(1)
        if line.endswith(newline):
            yield bytes(line)
            line.clear()
    if line:
        yield bytes(line)
