"""Documents made for the tests: real PDF and Word files of given text, and the two libraries of invented practices."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import docx
import yaml
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

LIBRARY = Path(__file__).parent / "library"


def asked(practice: str) -> dict[str, Any]:
    """The questions of an invented practice: `answered` and `unanswered`."""
    return yaml.safe_load((LIBRARY / practice / "questions.yaml").read_text(encoding="utf-8"))


def statements(practice: str) -> dict[str, Any]:
    """What a model might say of its documents: `holds`, and `fails` by kind."""
    return yaml.safe_load((LIBRARY / practice / "statements.yaml").read_text(encoding="utf-8"))


def lay_out(practice: str, folder: Path) -> Path:
    """Copy its documents into a folder of their own."""
    shutil.copytree(LIBRARY / practice, folder, ignore=shutil.ignore_patterns("*.yaml"))
    return folder


def pdf(*pages: Sequence[str], password: str = "") -> bytes:
    """A PDF of pages of lines; an empty page has no text layer."""
    writer = PdfWriter()
    font = DictionaryObject(
        {NameObject(key): NameObject(value) for key, value in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica"))}
    )
    for lines in pages:
        page = writer.add_blank_page(612, 792)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 14 TL 72 720 Td {' '.join(f'({line}) Tj T*' for line in lines)} ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word(*parts: tuple[str, str] | list[list[str]]) -> bytes:
    """A Word file of (style, text) paragraphs and tables of cells."""
    document = docx.Document()
    for part in parts:
        if isinstance(part, tuple):
            document.add_paragraph(part[1], style=part[0] or None)
        else:
            table = document.add_table(len(part), len(part[0]))
            for row, cells in zip(table.rows, part, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def bomb(size: int) -> bytes:
    """A small file with the parts of a Word document, one of which unpacks to so many bytes."""
    out = io.BytesIO()
    with ZipFile(io.BytesIO(word(("", "hello")))) as good, ZipFile(out, "w", ZIP_DEFLATED) as package:
        for name in good.namelist():
            package.writestr(name, good.read(name))
        with package.open("word/media/zeros.bin", "w", force_zip64=True) as stream:
            for _ in range(size // 2**20):
                stream.write(bytes(2**20))
    return out.getvalue()
