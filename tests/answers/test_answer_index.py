"""An index follows its folder: incremental, resumable, one writer at a time, readers undisturbed, bad files counted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from answers.papers import bomb, lay_out, pdf, word
from bedside.answers import Answers, AnswersError, Indexed, entries, index_folder
from bedside.answers.documents import MAX_BYTES, MAX_UNPACKED
from bedside.answers.retrieval import Retrieval, fused


def indexed(folder: Path, path: Path) -> Indexed:
    return index_folder(folder, path, by_meaning=False)


def sources(path: Path, question: str) -> list[str]:
    retrieval = Retrieval(path, by_meaning=False)
    try:
        return [hit.source for hit in retrieval.search(question, 5)]
    finally:
        retrieval.close()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return lay_out("made_with", tmp_path / "library")


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that is only read."""
    folder = tmp_path_factory.mktemp("practice")
    path = folder / "answers.sqlite"
    indexed(lay_out("made_with", folder / "library"), path)
    return path


def test_only_what_changed_is_read_again(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    first = indexed(library, path)
    assert (first.added, first.changed, first.unchanged, first.removed, first.left_out) == (4, 0, 0, 0, 0)
    assert first.passages > 12 and first.embedded == 0 and first.without_vectors == "as asked"
    assert sources(path, "refrigerator in a power cut")[0] == "cold-chain.md"

    (library / "cold-chain.md").unlink()
    (library / "opening.md").write_text("# Opening\n\nThe practice opens at ten.", encoding="utf-8")
    (library / "more").mkdir()
    (library / "more" / "pets.txt").write_text("Guide dogs may wait inside.", encoding="utf-8")
    os.utime(library / "results.txt")
    second = indexed(library, path)
    assert (second.added, second.changed, second.unchanged, second.removed) == (1, 1, 2, 1)
    assert sources(path, "refrigerator power cut") == []
    assert sources(path, "guide dogs") == ["more/pets.txt"]
    assert indexed(library, path).unchanged == 4


def test_bad_documents_are_counted_and_the_rest_is_found(library: Path, tmp_path: Path) -> None:
    (library / "broken.pdf").write_bytes(pdf(["hello"])[:150])
    (library / "locked.pdf").write_bytes(pdf(["hello"], password="x"))
    (library / "bomb.docx").write_bytes(bomb(MAX_UNPACKED + 2**20))
    (library / "cut.docx").write_bytes(word(("", "hello"))[:-300])
    (library / "photo.jpg").write_bytes(b"\xff\xd8")
    (library / ".hidden.txt").write_text("hidden", encoding="utf-8")
    (library / "~$lock.docx").write_bytes(b"lock")
    with (library / "huge.txt").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    (tmp_path / "secret.txt").write_text("outside", encoding="utf-8")
    (library / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(library / "pipe.txt")
    path = tmp_path / "answers.sqlite"
    assert indexed(library, path).left_out == 8
    assert {entry.source: entry.problems[0].reason for entry in entries(path) if entry.problems} == {
        "broken.pdf": "unreadable_document",
        "locked.pdf": "password_protected",
        "bomb.docx": "too_large",
        "cut.docx": "unreadable_document",
        "photo.jpg": "unsupported_document",
        "huge.txt": "too_large",
        "link.txt": "outside_folder",
        "pipe.txt": "unreadable_document",
    }
    assert indexed(library, path).unchanged == 12
    assert sources(path, "outside secret hidden") == []
    assert sources(path, "languages Mandarin")[0] == "opening.md"


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, path = tmp_path / "many", tmp_path / "answers.sqlite"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03}.txt").write_text(f"Drawer {number} holds forms.\n\n" * 40, encoding="utf-8")
    code = f"from pathlib import Path; from bedside.answers import index_folder; index_folder(Path({str(folder)!r}), Path({str(path)!r}), by_meaning=False)"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (path.exists() and path.stat().st_size > 100_000) and not path.with_name("answers.sqlite-wal").exists():
        time.sleep(0.005)
    time.sleep(0.1)
    process.kill()
    process.wait()
    kept = len(entries(path))
    done = indexed(folder, path)
    assert (done.added, done.unchanged) == (150 - kept, kept)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM places").fetchone() == database.execute("SELECT count(*) FROM passages").fetchone()


def test_one_run_writes_and_readers_go_on(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    indexed(library, path)
    (library / "opening.md").write_text("# Opening\n\nThe practice opens at ten.", encoding="utf-8")
    retrieval = Retrieval(path, by_meaning=False)
    seen: list[str] = []

    def meanwhile(name: str, done: int, of: int) -> None:
        with pytest.raises(AnswersError, match="another run is writing"):
            indexed(library, path)
        seen.append(retrieval.search("Grevillea Lane entrance", 1)[0].text if done < 3 else "")

    index_folder(library, path, by_meaning=False, progress=meanwhile)
    assert len(seen) == 4 and "Grevillea" in seen[0]
    assert retrieval.search("Grevillea Lane", 1) == [] and "ten" in retrieval.search("opens", 1)[0].text
    retrieval.close()


def test_an_index_that_nobody_may_write_is_read(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "answers.sqlite"
    indexed(library, path)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert sources(path, "interpreter")[0] == "opening.md"
    finally:
        path.parent.chmod(0o755)


def test_what_is_no_index_is_refused(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with pytest.raises(AnswersError, match=r"there is no index .*bedside answers index"):
        Retrieval(path)
    with pytest.raises(AnswersError, match="there is no folder"):
        indexed(tmp_path / "nowhere", path)
    path.write_text("a letter to a friend, not a database at all, and long enough to be looked at\n" * 20, encoding="utf-8")
    for use in (lambda: Retrieval(path), lambda: indexed(library, path)):
        with pytest.raises(AnswersError, match="no index that can be read"):
            use()
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE patients (name TEXT)")
    for use in (lambda: Retrieval(path), lambda: indexed(library, path)):
        with pytest.raises(AnswersError, match="no index of answers"):
            use()
    path.unlink()
    indexed(library, path)
    (tmp_path / "other").mkdir()
    with pytest.raises(AnswersError, match="is the index of"):
        indexed(tmp_path / "other", path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(AnswersError, match="format 99"):
        Retrieval(path)


def test_a_damaged_index_is_told_and_not_a_trace(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    indexed(library, path)
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(bytes(content))
    for use in (lambda: sources(path, "opening hours"), lambda: entries(path), lambda: indexed(library, path)):
        with pytest.raises(AnswersError, match=r"cannot be written|can be read"):
            use()


def test_a_place_that_cannot_be_written_is_named(library: Path) -> None:
    with pytest.raises(AnswersError, match="cannot be written"):
        indexed(library, Path("/proc/answers.sqlite"))


@pytest.mark.parametrize("question", ['" OR 1', "NEAR(a b) AND *", "title:", "'; DROP TABLE documents; --", "\0\ud800", "…", "^a -b +c"])
def test_nothing_in_a_question_is_a_query(practice: Path, question: str) -> None:
    sources(practice, question)
    assert len(entries(practice)) == 4


def test_many_threads_ask_one_index(practice: Path) -> None:
    answers = Answers.open(practice, by_meaning=False)
    with ThreadPoolExecutor(8) as threads:
        told = {answer.text for answer in threads.map(answers.ask, ["Where is the entrance?"] * 40)}
    assert told == {"The entrance is in Grevillea Lane, behind the pharmacy. [1]"}
    answers.close()


def test_fusion_prefers_what_both_searches_found() -> None:
    assert [item for item, _ in fused([[1, 2, 3], [4, 2, 5]])] == [2, 1, 4, 3, 5]
    assert fused([[7]])[0][1] == pytest.approx(1 / 61)
    assert fused([[], []]) == []
