"""Reads the documents of an organisation: `.txt`, `.md`, `.html`, `.pdf` and `.docx`, each as one text with its headings and pages.

    .txt .md        the file's own text, so that places in it are places in the file; paragraphs are parted by blank lines, `#` begins a heading
    .html .htm      visible text; `h1` … `h6` are headings, a list item and a table row are one line each
    .pdf            the text layer of each page
    .docx           paragraphs, headings by their style, tables one row a line

A document is data, whatever it says: nothing in it is run, followed or fetched. Damaged and hostile files make the parsers of PDF, ZIP and XML
raise, hang or grow, so `reading.Reader` calls this module in a process of its own.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

MAX_BYTES = 32 * 1024 * 1024
"""Of a file; larger ones are reported and left out."""
MAX_UNPACKED = 128 * 1024 * 1024
"""Bytes that the parts of a .docx may have once unpacked."""
MAX_CHARACTERS = 4_000_000
"""Of a document's text, some 2,000 pages."""

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_UNWRITABLE = re.compile("[\ud800-\udfff\0]")
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_MD_HEADING = re.compile(r"^(#{1,6})[ \t]+(?=[^\s#])(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table or heading: `text[start:end]` of its document.

    Attributes:
        start, end: its place in the document's text, in characters.
        level: 1 … 6 of a heading, 0 of anything else.
        page: from 1; None where the format has no pages.
    """

    start: int
    end: int
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read.

    Attributes:
        reason: a stable code: `password_protected`, `unreadable_document`, `bad_encoding`, `no_text`, `too_large`, `unsupported_document`,
            `not_utf8` and `tracked_changes` (read all the same), `outside_folder`, `bad_name`, `folder_not_read`, `no_reader` and `took_too_long`
            (tried again by the next run).
        detail: what was found, in words; never the document's text.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Document:
    """What was found in one file.

    Attributes:
        title: its own, else its first heading, else "".
        text: all of it.
        blocks: in order, without overlaps.
        problems: what was left out or guessed.
    """

    title: str
    text: str
    blocks: tuple[Block, ...]
    problems: tuple[Problem, ...] = ()


class DocumentError(Exception):
    """A document that cannot be used; `problem` says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(reason, detail)


def read_document(path: Path) -> Document:
    """The text of one file, by its ending.

    Raises:
        DocumentError: it cannot be read, or holds no text.
    """
    read = FORMATS.get(path.suffix.lower())
    if read is None:
        raise DocumentError("unsupported_document", f"{path.suffix[:20]!r} is none of {', '.join(FORMATS)}")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DocumentError("too_large", f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
        document = read(path)
    except DocumentError:
        raise
    except ModuleNotFoundError as error:
        raise DocumentError("no_reader", f"{error.name!r} is not installed; type: pip install 'bedside[documents]'") from error
    except Exception as error:  # a damaged file makes the parsers raise almost anything
        raise DocumentError("unreadable_document", f"{type(error).__name__}: {error}"[:200]) from error
    if not document.blocks:
        raise DocumentError("no_text", document.problems[0].detail if document.problems else "the document holds no text")
    return document


@dataclass(slots=True)
class _Draft:
    """A text put together from pieces, parted by blank lines."""

    title: str = ""
    pieces: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _size: int = 0

    def add(self, text: str, level: int = 0, page: int | None = None) -> None:
        text = text.strip()
        if _tells(text):
            self.blocks.append(Block(self._size, self._size + len(text), level, page))
            self.pieces.append(text)
            self._size = _within_limit(self._size + len(text) + 2)

    def document(self) -> Document:
        return _document("\n\n".join(self.pieces), self.blocks, self.title, self.problems)


def _document(text: str, blocks: Iterable[Block], title: str = "", problems: Iterable[Problem] = ()) -> Document:
    if bad := _UNWRITABLE.search(text):
        raise DocumentError("bad_encoding", f"it holds U+{ord(bad.group()):04X}, which no text may hold")
    blocks = tuple(blocks)
    first = next((text[block.start : block.end].lstrip("# ") for block in blocks if block.level), "")
    own = " ".join(_UNWRITABLE.sub("", title).split())
    return Document((own or first)[:200], text, blocks, tuple(problems))


def _tells(text: str) -> bool:
    """Whether there is a letter or digit in it; a line drawn across a page tells nothing."""
    return any(map(str.isalnum, text))


def _within_limit(characters: int) -> int:
    if characters > MAX_CHARACTERS:
        raise DocumentError("too_large", f"it has more than {MAX_CHARACTERS:,} characters of text")
    return characters


def _decoded(path: Path) -> tuple[str, list[Problem]]:
    """UTF-8, UTF-16 with a byte order mark, else Windows-1252, which is then reported."""
    data = path.read_bytes()
    marked = [name for mark, name in _MARKS.items() if data.startswith(mark)]
    for encoding in marked or ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            break
    else:
        raise DocumentError("bad_encoding", f"it is no {(marked or ['UTF-8 or Windows-1252'])[0]} text")
    problems = [Problem("not_utf8", "the file is no UTF-8; it was read as Windows-1252")] if encoding == "cp1252" else []
    _within_limit(len(text))
    return text, problems


def _text(path: Path) -> Document:
    text, problems = _decoded(path)
    return _document(text, _paragraphs(text, 0, len(text)), problems=problems)


def _markdown(path: Path) -> Document:
    text, problems = _decoded(path)
    blocks: list[Block] = []
    last = 0
    for heading in _MD_HEADING.finditer(text):
        blocks += _paragraphs(text, last, heading.start())
        blocks.append(Block(heading.start(), heading.end(), len(heading[1])))
        last = heading.end()
    return _document(text, [*blocks, *_paragraphs(text, last, len(text))], problems=problems)


def _paragraphs(text: str, start: int, end: int, page: int | None = None) -> Iterator[Block]:
    """Runs of lines of `text[start:end]` without a blank one between them."""
    cuts = [(start, start), *(match.span() for match in _BLANK_LINES.finditer(text, start, end)), (end, end)]
    for (_, first), (last, _) in pairwise(cuts):
        words = text[first:last]
        if _tells(words):
            yield Block(first + len(words) - len(words.lstrip()), last - len(words) + len(words.rstrip()), page=page)


def _pdf(path: Path) -> Document:
    from pypdf import PasswordType, PdfReader

    pdf = PdfReader(path)
    # Most locked PDFs only forbid printing or copying; they open with an empty password.
    if pdf.is_encrypted and pdf.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise DocumentError("password_protected", "the PDF opens with a password only")
    draft = _Draft()
    # A damaged title is no reason to lose the pages.
    with suppress(Exception):
        draft.title = (pdf.metadata and pdf.metadata.title) or ""
    for number in range(1, len(pdf.pages) + 1):
        try:
            text = pdf.pages[number - 1].extract_text()
        except Exception as error:
            draft.problems.append(Problem("unreadable_document", f"page {number}: {type(error).__name__}: {error}"[:200]))
            continue
        if bad := _UNWRITABLE.search(text):
            draft.problems.append(Problem("bad_encoding", f"page {number}: its text layer holds U+{ord(bad.group()):04X}"))
        elif _tells(text):
            for block in _paragraphs(text, 0, len(text)):
                draft.add(text[block.start : block.end], page=number)
        else:
            draft.problems.append(Problem("no_text", f"page {number} has no text layer; it may be a scan"))
    return draft.document()


def _docx(path: Path) -> Document:
    import docx
    from docx.text.paragraph import Paragraph

    _check_package(path)
    opened = docx.Document(str(path))
    draft = _Draft(opened.core_properties.title)
    changes = len(opened.element.body.xpath(".//w:ins/w:r"))
    if changes:
        draft.problems.append(Problem("tracked_changes", f"{changes} insertions that nobody has accepted are not read"))
    for part in opened.iter_inner_content():
        if isinstance(part, Paragraph):
            style = (part.style.name or "") if part.style is not None else ""
            mark = "- " if style.startswith("List") and part.text.strip() else ""
            draft.add(mark + part.text, _heading_level(style))
        else:
            draft.add("\n".join(" | ".join(filter(None, _cells(row))) for row in part.rows))
    return draft.document()


def _check_package(path: Path) -> None:
    """Refuse what is no modern Word file, and a ZIP that unpacks to far more than any letter holds."""
    with path.open("rb") as stream:
        head = stream.read(len(_OLE))
    if head == _OLE:
        if _ENCRYPTED_PACKAGE in path.read_bytes():
            raise DocumentError("password_protected", "the document opens with a password only")
        raise DocumentError("unreadable_document", "a Word file from before 2007 under the name of a .docx")
    try:
        with ZipFile(path) as package:
            unpacked = sum(part.file_size for part in package.infolist())
    except BadZipFile as error:
        raise DocumentError("unreadable_document", f"it is no Word file: {error}") from error
    if unpacked > MAX_UNPACKED:
        raise DocumentError("too_large", f"it unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED:,} are read")


def _heading_level(style: str) -> int:
    if style.startswith("Title"):
        return 1
    return min(int(style[8:] or 1), 6) if re.fullmatch(r"Heading ?\d?", style) else 0


def _cells(row: Any) -> Iterator[str]:
    """The words of each cell; one that spans several columns stands in `row.cells` once for each of them."""
    cells = iter(row.cells)
    for cell in cells:
        yield cell.text.strip()
        for _ in range(cell.grid_span - 1):
            next(cells, None)


def _html(path: Path) -> Document:
    text, problems = _decoded(path)
    reader = _Visible()
    reader.feed(text)
    reader.close()
    reader.end_block()
    reader.draft.problems += problems
    return reader.draft.document()


class _Visible(HTMLParser):
    """Gathers the visible text of a page, block by block."""

    _LINES = frozenset({"br", "li", "dt", "dd", "tr"})
    _BLOCKS = frozenset({"p", "div", "section", "article", "ul", "ol", "dl", "table", "blockquote", "pre", "main", "nav", "body", "head"})
    _HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
    _UNSEEN = frozenset({"script", "style", "template", "noscript", "svg"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.draft = _Draft()
        self._words: list[str] = []
        self._level = 0
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._UNSEEN:
            self._unseen = self._unseen or tag
        elif tag in self._LINES:
            self._words.append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th"):
            self._words.append(" | ")
        elif tag in self._HEADINGS or tag in self._BLOCKS or tag == "title":
            self.end_block()
            self._level = int(tag[1]) if tag in self._HEADINGS else 0

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = ""
        elif tag == "title":
            self.draft.title = self.draft.title or "".join(self._words)
            self._words = []
        elif tag in self._HEADINGS or tag in self._BLOCKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._words.append(re.sub(r"\s+", " ", data))

    def end_block(self) -> None:
        """File what was gathered since the last block."""
        lines = (line.strip().removeprefix("| ").removesuffix(" |").strip() for line in "".join(self._words).split("\n"))
        self.draft.add("\n".join(filter(None, lines)), self._level)
        self._words, self._level = [], 0


FORMATS: dict[str, Callable[[Path], Document]] = {
    ".txt": _text,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}
"""Readers by ending."""
