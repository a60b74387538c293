"""Documents: one `.txt`, `.md`, `.pdf` or `.docx` file, or a folder of them (with its sub-folders, in order of their paths).

Each passage of about 300 words becomes a record with a single message of the assistant. Labels: `kind` (always `document`), `title` (the
document's own, else its first heading, else its file name) and `page` (from 1 in a PDF, else null). One family a document: the hash of its
bytes, so that a copy under another name stays with it.

    .txt    UTF-8 or UTF-16; paragraphs are parted by blank lines; where = file:line
    .md     the same, and `#` headings
    .pdf    the text layer of each page; where = file:page 3
    .docx   paragraphs, headings by their style, tables one row a line; where = file:paragraph 12

A document, or a page of a PDF, that cannot be read is filed and the rest goes on: `password_protected`, `unreadable_document` (truncated,
or not what its name says), `no_text` (a scan, or empty), `unsupported_document` (another ending). A paragraph with a line that cannot be
decoded is left out whole, because half of it may say the opposite. Hidden files and Word's lock files are no documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import groupby
from pathlib import Path

import docx
from docx.table import Table, _Row
from docx.text.paragraph import Paragraph
from pypdf import PasswordType, PdfReader

from bedside.corpus.sources.lines import Line, lines
from bedside.corpus.sources.passages import Block, passages
from bedside.corpus.sources.records import UNWRITABLE, BadRecord, Record, RowError
from bedside.corpus.sources.registry import reader
from bedside.workspace.files import sha256_file

_MD_HEADING = re.compile(r"#{1,6}\s+(?=[^\s#])")
_BLANK_LINES = re.compile(r"\n\s*\n")
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_LOCKED = ("password_protected", "the document opens with a password only")
_OLD_WORD = ("unreadable_document", "a Word file from before 2007 under the name of a .docx")
_IGNORED_PREFIXES = (".", "~$")


@reader("documents", layout="a .txt, .md, .pdf or .docx file, or a folder of such files")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One record a passage.

    Raises:
        OSError: the folder cannot be listed.
    """
    if not path.is_dir():
        yield from _records(path, path.name)
        return
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and not any(part.startswith(_IGNORED_PREFIXES) for part in name.parts):
            yield from _records(file, name.as_posix())


@dataclass(slots=True)
class _Content:
    """What was found in one document."""

    title: str = ""
    blocks: list[Block] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)


def _records(file: Path, name: str) -> Iterator[Record | BadRecord]:
    try:
        family = f"document:{sha256_file(file)}"
        content = _content(file)
    except RowError as bad:
        yield BadRecord(bad.reason, name, bad.detail)
        return
    # A damaged file makes the parsers of PDF, ZIP and XML raise almost anything.
    except Exception as error:
        yield BadRecord("unreadable_document", name, _said(error))
        return
    yield from (replace(found, where=f"{name}:{found.where}") for found in content.bad)
    first_heading = next((block.text for block in content.blocks if block.heading), "")
    title = UNWRITABLE.sub("", content.title).strip() or first_heading or file.stem
    for group in passages(content.blocks):
        words = "\n\n".join(block.text for block in group)
        labels = {"kind": "document", "title": title, "page": group[0].page}
        yield Record((("assistant", words),), f"{name}:{group[0].place}", family, labels)


def _content(file: Path) -> _Content:
    read_format = _FORMATS.get(file.suffix.lower())
    if read_format is None:
        raise RowError("unsupported_document", f"{file.suffix!r} is none of {', '.join(_FORMATS)}")
    content = read_format(file)
    if not content.blocks and not content.bad:
        raise RowError("no_text", "the document holds no text")
    return content


def _text(file: Path) -> _Content:
    return _paragraphs(file, lambda line: bool(line.text.strip()))


def _markdown(file: Path) -> _Content:
    return _paragraphs(file, lambda line: -line.number if _MD_HEADING.match(line.text) else bool(line.text.strip()))


def _paragraphs(file: Path, kind: Callable[[Line], int]) -> _Content:
    """Runs of lines of one kind: 0 for blank ones, 1 for those of a paragraph, less than 0 for each heading."""
    content = _Content()
    for of_kind, run in groupby(lines(file), key=kind):
        found = list(run)
        faults = [BadRecord("bad_encoding", str(line.number), fault) for line in found if (fault := line.fault())]
        content.bad += faults
        text = "\n".join(line.text.rstrip() for line in found)
        if of_kind and not faults:
            heading = of_kind < 0
            words = text.lstrip("#") if heading else text
            content.blocks.append(Block(words.strip(), str(found[0].number), heading))
    return content


def _pdf(file: Path) -> _Content:
    pdf = PdfReader(file)
    # Most locked PDFs only forbid printing or copying; they open with an empty password.
    if pdf.is_encrypted and pdf.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise RowError("password_protected", "the PDF opens with a password only")
    content = _Content()
    # A damaged title is no reason to lose the pages.
    with suppress(Exception):
        content.title = (pdf.metadata and pdf.metadata.title) or ""
    for number in range(1, len(pdf.pages) + 1):
        try:
            content.blocks += _page(pdf, number)
        except RowError as bad:
            content.bad.append(BadRecord(bad.reason, f"page {number}", bad.detail))
        except Exception as error:
            content.bad.append(BadRecord("unreadable_document", f"page {number}", _said(error)))
    return content


def _page(pdf: PdfReader, number: int) -> list[Block]:
    text = pdf.pages[number - 1].extract_text()
    if bad := UNWRITABLE.search(text):
        raise RowError("bad_encoding", f"its text layer holds U+{ord(bad.group()):04X}, which no text may hold")
    found = [Block(paragraph.strip(), f"page {number}", page=number) for paragraph in _BLANK_LINES.split(text) if paragraph.strip()]
    if not found:
        raise RowError("no_text", "the page has no text layer; it may be a scan")
    return found


def _docx(file: Path) -> _Content:
    packed = file.read_bytes()
    if packed.startswith(_OLE):
        raise RowError(*_LOCKED if _ENCRYPTED_PACKAGE in packed else _OLD_WORD)
    document = docx.Document(BytesIO(packed))
    content = _Content(document.core_properties.title)
    for number, part in enumerate(document.iter_inner_content(), 1):
        text = part.text.strip() if isinstance(part, Paragraph) else _table(part)
        if text:
            heading = isinstance(part, Paragraph) and _is_heading(part)
            content.blocks.append(Block(text, f"paragraph {number}", heading=heading))
    return content


def _is_heading(paragraph: Paragraph) -> bool:
    style = paragraph.style
    return style is not None and (style.name or "").startswith(("Heading", "Title"))


def _table(table: Table) -> str:
    """One row a line, cells parted by bars."""
    return "\n".join(" | ".join(filter(None, _cells(row))) for row in table.rows).strip()


def _cells(row: _Row) -> Iterator[str]:
    """The words of each cell; one that spans several columns stands in `row.cells` once for each of them."""
    cells = iter(row.cells)
    for cell in cells:
        yield cell.text.strip()
        for _ in range(cell.grid_span - 1):
            next(cells, None)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


_FORMATS: dict[str, Callable[[Path], _Content]] = {".txt": _text, ".md": _markdown, ".pdf": _pdf, ".docx": _docx}
