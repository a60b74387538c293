"""Documents become text with headings, pages and places; damaged and hostile ones become problems."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answers.papers import bomb, pdf, word
from bedside.answers.documents import MAX_BYTES, MAX_UNPACKED, Document, DocumentError, read_document
from bedside.answers.passages import WORDS, passages, sentence_spans
from bedside.answers.reading import Reader


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def blocks(document: Document) -> list[tuple[int, str]]:
    return [(block.level, document.text[block.start : block.end]) for block in document.blocks]


def refused(path: Path) -> str:
    with pytest.raises(DocumentError) as caught:
        read_document(path)
    return caught.value.problem.reason


# What is read


def test_markdown_keeps_the_places_of_its_file(tmp_path: Path) -> None:
    text = "# Parking\n\n\nTwo spaces\nare kept free.\n  \n## Bicycles ##\nBy the fence.\n"
    document = read_document(written(tmp_path, "a.md", text))
    assert document.text == text and document.title == "Parking"
    assert blocks(document) == [(1, "# Parking"), (0, "Two spaces\nare kept free."), (2, "## Bicycles ##"), (0, "By the fence.")]
    assert [(one.heading, one.text) for one in passages(document)] == [
        ("Parking", "Two spaces\nare kept free."),
        ("Parking › Bicycles", "By the fence."),
    ]


def test_html_gives_its_visible_text_with_headings_lists_and_tables(tmp_path: Path) -> None:
    page = """<html><head><title>The  page</title><script>if (a < b) alert("x")</script></head><body><h2>Hours</h2><p>Open &amp; warm
    <b>daily</b>.</p><ul><li>one<li>two</ul><table><tr><th>Day</th><td>Time</td></tr></table>&lt;end"""
    document = read_document(written(tmp_path, "a.html", page))
    assert document.title == "The page"
    assert blocks(document) == [(2, "Hours"), (0, "Open & warm daily."), (0, "- one\n- two"), (0, "Day | Time"), (0, "<end")]


def test_a_pdf_gives_pages_and_says_which_page_is_a_scan(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.pdf", pdf(["The door is green.", "It is locked."], [], ["The key is blue."])))
    assert [(block.page, document.text[block.start : block.end]) for block in document.blocks] == [
        (1, "The door is green.\nIt is locked."),
        (3, "The key is blue."),
    ]
    assert [(one.reason, one.detail) for one in document.problems] == [("no_text", "page 2 has no text layer; it may be a scan")]
    assert [one.page for one in passages(document)] == [1, 3]


def test_a_word_file_gives_headings_and_table_rows(tmp_path: Path) -> None:
    content = word(("Heading 1", "Rooms"), ("", "Room 2 is the treatment room."), [["Room", "Use"], ["3", "Store"]])
    document = read_document(written(tmp_path, "a.docx", content))
    assert blocks(document) == [(1, "Rooms"), (0, "Room 2 is the treatment room."), (0, "Room | Use\n3 | Store")]


@pytest.mark.parametrize(("encoding", "reasons"), [("utf-8-sig", []), ("utf-16", []), ("cp1252", ["not_utf8"])])
def test_text_of_windows_is_read_and_a_guess_is_told(tmp_path: Path, encoding: str, reasons: list[str]) -> None:
    document = read_document(written(tmp_path, "a.txt", "The café’s door – open.".encode(encoding)))
    assert document.text == "The café’s door – open."
    assert [one.reason for one in document.problems] == reasons


# What is refused


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "no_text"),
        ("a.txt", b"one\0two", "bad_encoding"),
        ("a.txt", b"\xff\xfea", "bad_encoding"),
        ("a.md", b"\x81\x8d\x8f", "bad_encoding"),
        ("a.html", b"<script>all of it", "no_text"),
        ("a.xlsx", b"PK", "unsupported_document"),
        ("a.pdf", b"%PDF-1.7 and nothing else", "unreadable_document"),
        ("a.pdf", pdf(["secret"], password="x"), "password_protected"),
        ("a.pdf", pdf([], []), "no_text"),
        ("a.docx", b"no zip at all", "unreadable_document"),
        ("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(100), "unreadable_document"),
        ("a.docx", word(("", "hello"))[:-200], "unreadable_document"),
    ],
)
def test_what_cannot_be_read_has_a_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    assert refused(written(tmp_path, name, content)) == reason


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    packed = bomb(MAX_UNPACKED + 2**20)
    assert len(packed) < 2**20
    assert refused(written(tmp_path, "a.docx", packed)) == "too_large"


def test_entities_of_a_word_file_are_not_expanded(tmp_path: Path) -> None:
    import io
    from zipfile import ZipFile

    out = io.BytesIO()
    with ZipFile(io.BytesIO(word(("", "hello")))) as good, ZipFile(out, "w") as package:
        for name in good.namelist():
            content = good.read(name)
            if name == "word/document.xml":
                lots = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(12))
                content = content.replace(b"<w:document", f"<!DOCTYPE d [{lots}]>\n<w:document".encode(), 1).replace(b"hello", b"&e11;")
            package.writestr(name, content)
    path = written(tmp_path, "a.docx", out.getvalue())
    try:
        assert len(read_document(path).text) < 1000
    except DocumentError as error:
        assert error.problem.reason in {"unreadable_document", "no_text"}


def test_a_huge_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert refused(path) == "too_large"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ending=st.sampled_from([".txt", ".md", ".html"]), content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_give_a_document_or_a_problem(tmp_path: Path, ending: str, content: bytes) -> None:
    path = written(tmp_path, f"fuzz{ending}", content)
    try:
        document = read_document(path)
    except DocumentError as error:
        assert error.problem.reason
        return
    holds_together(document)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["pdf", "docx"]), seed=st.integers(0, 2**32))
def test_damaged_files_give_a_document_or_a_problem(tmp_path: Path, kind: str, seed: int) -> None:
    content = bytearray({"pdf": _PDF, "docx": _DOCX}[kind])
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path = written(tmp_path, f"fuzz.{kind}", bytes(content[: chance.randint(1, len(content))] if seed % 3 == 0 else content))
    try:
        holds_together(read_document(path))
    except DocumentError as error:
        assert error.problem.reason


_PDF = pdf(["One line of text.", "Another line."], ["A second page."])
_DOCX = word(("Heading 1", "Rooms"), ("", "Some words."), [["a", "b"]])


# Passages and sentences


def holds_together(document: Document) -> None:
    """Blocks do not overlap, and every word of them stands in exactly one passage or in the headings of one."""
    cut = list(passages(document))
    assert all(one.text == document.text[one.start : one.end] for one in cut)
    assert all(len(one.text) <= WORDS * 120 for one in cut)
    ends = [0, *(one.end for one in document.blocks)]
    assert all(end <= block.start < block.end for end, block in zip(ends, document.blocks, strict=False))
    for block in document.blocks:
        if not block.level:
            holding = [one for one in cut if one.start < block.end and block.start < one.end]
            held = "".join(document.text[max(one.start, block.start) : min(one.end, block.end)] for one in holding)
            assert "".join(held.split()) == "".join(document.text[block.start : block.end].split())


@given(st.text(alphabet=st.sampled_from("aB1 .?!:\n-|é"), max_size=400))
def test_sentences_hold_every_word_once_and_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    assert "".join(filter(str.isalnum, text)) == "".join(letter for start, end in spans for letter in text[start:end] if letter.isalnum())


def test_lines_wrapped_at_a_margin_are_one_sentence_and_list_items_are_not() -> None:
    text = "The practice is open from eight in the\nmorning, as it always was. Bring:\n- your card\n- a letter\nDay | Time\nMonday | 8"
    assert [text[start:end] for start, end in sentence_spans(text)] == [
        "The practice is open from eight in the\nmorning, as it always was.",
        "Bring:",
        "- your card",
        "- a letter",
        "Day | Time",
        "Monday | 8",
    ]


@pytest.mark.parametrize(
    "text", ["word " * 5000, "x" * 1_000_000, "A sentence of some words here. " * 900], ids=["words", "letters", "sentences"]
)
def test_long_paragraphs_become_passages_that_the_embedder_reads_whole(tmp_path: Path, text: str) -> None:
    document = read_document(written(tmp_path, "a.txt", text))
    holds_together(document)
    assert all(len(one.text.split()) <= WORDS for one in passages(document))


def test_a_heading_with_nothing_below_it_is_not_lost(tmp_path: Path) -> None:
    document = read_document(written(tmp_path, "a.md", "# Rules\n## Shoes are worn\n## Bags are closed\n"))
    assert [(one.heading, one.text) for one in passages(document)] == [
        ("Rules", "## Shoes are worn"),
        ("Rules", "## Bags are closed"),
    ]


# The process that reads


def test_the_reader_reads_as_the_function_does_and_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    good, bad = written(tmp_path, "a.md", "# One\n\nTwo words."), written(tmp_path, "b.pdf", b"%PDF nothing")
    with Reader() as reader:
        assert reader.read(good) == read_document(good)
        with pytest.raises(DocumentError):
            reader.read(bad)
        assert reader.read(good) == read_document(good)


def test_a_document_that_hangs_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never.txt")  # reading it never ends
    good = written(tmp_path, "a.txt", "Two words.")
    with Reader(seconds=1.5) as reader:
        with pytest.raises(DocumentError, match="more than 2 s"):
            reader.read(tmp_path / "never.txt")
        reader._seconds = 60.0
        assert reader.read(good).text == "Two words."
