"""The index of a folder of documents: one SQLite file with their passages, a BM25 index (FTS5) and a vector for each passage.

A run reads what is new or changed, by SHA-256, and forgets what is gone. Each document is committed by itself and vectors are made in batches
afterwards, so a run that was stopped goes on where it stopped, and readers see whole documents only. One run writes at a time; readers go on
meanwhile (write-ahead log).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bedside.answers.documents import FORMATS, MAX_BYTES, Document, DocumentError, Problem
from bedside.answers.passages import passages
from bedside.answers.reading import Reader
from bedside.errors import BaseModelError, BedsideError
from bedside.offline import quiet_libraries
from bedside.workspace.files import sha256_file

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Told what is being done (`reading`, `embedding`), how many are done, and of how many."""

AS_ASKED = "as asked"
"""Why nothing is searched by meaning, where that was wanted so."""

_APPLICATION = 0x62656473
"""`beds`: tells an index from any other SQLite file."""
_FORMAT = 1
"""Raised when documents would be read or cut otherwise, so that an old index is made again."""
_RETRIED = {"no_reader", "took_too_long"}
"""Reasons that lie in this machine, not in the document."""
_BATCH = 64
_SHARED_WAIT = 10.0  # seconds for which a reader or writer waits for another's commit
_SCHEMA = """
CREATE TABLE folder (path TEXT NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, title TEXT NOT NULL, problems TEXT NOT NULL);
CREATE TABLE places (
    passage INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id), page INTEGER,
    start INTEGER NOT NULL, end INTEGER NOT NULL, vector BLOB);
CREATE INDEX places_of_a_document ON places (document);
CREATE INDEX places_without_vector ON places (passage) WHERE vector IS NULL;
CREATE VIRTUAL TABLE passages USING fts5 (title, heading, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""


class AnswersError(BedsideError):
    """An index cannot be made or used."""


class Embedder(Protocol):
    """Makes vectors of texts; `bedside.engine.embedding.SentenceEmbedder` is one."""

    def embed(self, texts: Sequence[str]) -> Floats:
        """(texts, dimensions), each of length 1."""
        ...


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did.

    Attributes:
        added, changed, unchanged, removed: documents.
        left_out: documents of which nothing could be read; they are among those added, changed or unchanged.
        passages: in the index now.
        embedded: of them with a vector.
        without_vectors: why the passages have no vectors; "" where they have.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    left_out: int
    passages: int
    embedded: int
    without_vectors: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of an index: its path within the folder, title, number of passages, and what could not be read."""

    source: str
    title: str
    passages: int
    problems: tuple[Problem, ...]


def sentence_embedder() -> tuple[Embedder | None, str]:
    """all-MiniLM-L6-v2, or None and why it cannot be had."""
    quiet_libraries()
    try:
        from bedside.engine.embedding import SentenceEmbedder

        embedder = SentenceEmbedder()
        embedder.embed(["ready"])  # its tokeniser sets itself up once, which two threads may not do at the same time
    except ModuleNotFoundError as error:
        return None, f"the package {error.name!r} is not installed; type: pip install 'bedside[train]'"
    except BaseModelError as error:
        return None, f"{error.problem}; {error.next_step}"
    return embedder, ""


def index_folder(folder: Path, path: Path, *, by_meaning: bool = True, progress: Progress = lambda *_: None) -> Indexed:
    """Bring the index `path` up to date with the documents of `folder` and its sub-folders.

    Hidden files, Word's lock files and the index itself are no documents. With no sentence embedder installed passages get no vectors, and
    a later run with one adds them.

    Args:
        folder: of documents; one index holds one folder.
        path: of the index.
        by_meaning: False makes no vectors, also where the sentence embedder is installed.
        progress: told how far it is.

    Raises:
        AnswersError: there is no such folder, another run is writing the index, `path` holds something else, or the disk is full or not writable.
    """
    if not folder.is_dir():
        raise AnswersError(f"there is no folder {str(folder)!r}", "Give the folder that holds the documents")
    with _writing(path), closing(_created(path, folder)) as database:
        counts = _update(database, folder, path, progress)
        embedder, why_not = sentence_embedder() if by_meaning else (None, AS_ASKED)
        if embedder is not None:
            _embed(database, embedder, progress)
        held, embedded = database.execute("SELECT count(*), count(vector) FROM places").fetchone()
        empty = database.execute("SELECT count(*) FROM documents WHERE id NOT IN (SELECT document FROM places)").fetchone()[0]
        return Indexed(counts["added"], counts["changed"], counts["unchanged"], counts["removed"], empty, held, embedded, why_not)


def opened(path: Path) -> sqlite3.Connection:
    """A connection that reads an index, usable by several threads in turn.

    Raises:
        AnswersError: there is none, it is no index, it is damaged, or another version of bedside made it.
    """
    if not path.is_file():
        raise AnswersError(f"there is no index {str(path)!r}", "Make one with `bedside answers index FOLDER`, or correct the path")
    # Where nobody can write beside the file, SQLite could not keep its log there; nobody can change the file either.
    mode = "mode=rw" if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) else "immutable=1"
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, check_same_thread=False, timeout=_SHARED_WAIT)
    try:
        connection.execute("PRAGMA query_only = ON")
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def entries(path: Path) -> list[Entry]:
    """The documents of an index by path, those that could not be read included.

    Raises:
        AnswersError: as `opened`.
    """
    query = "SELECT source, title, (SELECT count(*) FROM places WHERE document = documents.id), problems FROM documents ORDER BY source"
    with legible(path), closing(opened(path)) as database:
        return [
            Entry(source, title, count, tuple(Problem(**one) for one in json.loads(problems)))
            for source, title, count, problems in database.execute(query)
        ]


@contextmanager
def legible(path: Path) -> Iterator[None]:
    """Turn what SQLite finds wrong with an index that is read into an `AnswersError` that names it."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise AnswersError(f"{str(path)!r} is no index that can be read ({error})", "Delete it and index the folder again") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Held by the one run that writes an index; the system lets go of it when a run dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise AnswersError(f"another run is writing {str(path)!r}", "Wait for it to end, then run the same command again") from error
    except (OSError, sqlite3.DatabaseError) as error:
        raise AnswersError(
            f"the index {str(path)!r} cannot be written ({error})",
            "Free some space or choose another place with --out; what was done is kept",
        ) from error


def _created(path: Path, folder: Path) -> sqlite3.Connection:
    """A connection that writes the index of one folder, made anew where there is none."""
    connection = sqlite3.connect(path, timeout=_SHARED_WAIT, isolation_level=None)
    try:
        if _is_empty(connection, path):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_FORMAT}; {_SCHEMA}")
            connection.execute("INSERT INTO folder VALUES (?)", (str(folder.resolve()),))
            connection.execute("COMMIT")
        _check(connection, path)
        (of,) = connection.execute("SELECT path FROM folder").fetchone()
        if of != str(folder.resolve()):
            raise AnswersError(f"{str(path)!r} is the index of {of!r}", "Choose another file with --out, or delete this one first")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    with legible(path):
        return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _check(connection: sqlite3.Connection, path: Path) -> None:
    with legible(path):
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise AnswersError(f"{str(path)!r} is no index of answers", "Give the file that `bedside answers index` wrote")
    if version != _FORMAT:
        raise AnswersError(
            f"{str(path)!r} has the format {version}; this bedside reads {_FORMAT}",
            "Delete it and index the folder again with this version",
        )


def _update(database: sqlite3.Connection, folder: Path, path: Path, progress: Progress) -> Counter[str]:
    """Read what is new or changed, forget what is gone; counts by what happened."""
    known = {source: (number, sha256) for number, source, sha256 in database.execute("SELECT id, source, sha256 FROM documents")}
    found = list(_files(folder, path))
    counts: Counter[str] = Counter()
    for number, _ in (known[source] for source in known.keys() - {source for source, _, _ in found}):
        with _transaction(database):
            _forget(database, number)
        counts["removed"] += 1
    with Reader() as reader:
        for done, (source, file, problem) in enumerate(found, 1):
            sha256, problem = _fingerprint(file, problem)
            before = known.get(source)
            if before is not None and before[1] == sha256:
                counts["unchanged"] += 1
            else:
                document = _read(reader, file, problem)
                sha256 = "" if _RETRIED & {one.reason for one in document.problems} else sha256
                with _transaction(database):
                    if before is not None:
                        _forget(database, before[0])
                    _store(database, source, sha256, document)
                counts["added" if before is None else "changed"] += 1
            progress("reading", done, len(found))
    return counts


def _files(folder: Path, index: Path) -> Iterator[tuple[str, Path, Problem | None]]:
    """Every document below a folder, in order: its name there, its path, and why it is not to be read, where it is not."""
    own = {index.resolve(), *(index.resolve().with_name(index.name + end) for end in ("-wal", "-shm"))}
    unread: list[OSError] = []
    root = folder.resolve()
    for place, folders, files in os.walk(folder, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            file = Path(place, name)
            if name.startswith((".", "~$")) or file.resolve() in own:
                continue
            source = file.relative_to(folder).as_posix()
            if not source.isprintable():
                yield source.encode("ascii", "backslashreplace").decode(), file, Problem("bad_name", "its name cannot be written")
            elif not file.resolve().is_relative_to(root):
                yield source, file, Problem("outside_folder", "a link that leads out of the folder")
            elif file.suffix.lower() not in FORMATS:
                yield source, file, Problem("unsupported_document", f"{file.suffix[:20]!r} is none of {', '.join(FORMATS)}")
            else:
                yield source, file, None
    for error in unread:
        closed = Path(str(error.filename))
        yield closed.relative_to(folder).as_posix() + "/", closed, Problem("folder_not_read", error.strerror or "")


def _fingerprint(file: Path, problem: Problem | None) -> tuple[str, Problem | None]:
    """What tells one state of a file from another: its SHA-256, or why it is not read."""
    if problem is None:
        try:
            if not file.is_file():
                problem = Problem("unreadable_document", "it is no ordinary file")
            elif (size := file.stat().st_size) > MAX_BYTES:
                problem = Problem("too_large", f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read")
            else:
                return sha256_file(file), None
        except OSError as error:
            problem = Problem("unreadable_document", error.strerror or type(error).__name__)
    return f"{problem.reason}: {problem.detail}", problem


def _read(reader: Reader, file: Path, problem: Problem | None) -> Document:
    """The document; one that cannot be read holds nothing but the problem."""
    if problem is None:
        try:
            return reader.read(file)
        except DocumentError as error:
            problem = error.problem
    return Document("", "", (), (problem,))


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _forget(database: sqlite3.Connection, document: int) -> None:
    database.execute("DELETE FROM passages WHERE rowid IN (SELECT passage FROM places WHERE document = ?)", (document,))
    database.execute("DELETE FROM places WHERE document = ?", (document,))
    database.execute("DELETE FROM documents WHERE id = ?", (document,))


def _store(database: sqlite3.Connection, source: str, sha256: str, document: Document) -> None:
    title = document.title or Path(source).stem
    problems = json.dumps([asdict(problem) for problem in document.problems])
    row = (source, sha256, title, problems)
    number = database.execute("INSERT INTO documents (source, sha256, title, problems) VALUES (?, ?, ?, ?)", row).lastrowid
    for passage in passages(document):
        place = (number, passage.page, passage.start, passage.end)
        at = database.execute("INSERT INTO places (document, page, start, end) VALUES (?, ?, ?, ?)", place).lastrowid
        words = (at, title, passage.heading, passage.text)
        database.execute("INSERT INTO passages (rowid, title, heading, text) VALUES (?, ?, ?, ?)", words)


def _embed(database: sqlite3.Connection, embedder: Embedder, progress: Progress) -> None:
    """Give a vector to each passage that has none: of its title, headings and words."""
    (total,) = database.execute("SELECT count(*) FROM places WHERE vector IS NULL").fetchone()
    query = """SELECT rowid, title, heading, text FROM passages
               WHERE rowid IN (SELECT passage FROM places WHERE vector IS NULL ORDER BY passage LIMIT ?)"""
    done = 0
    while rows := database.execute(query, (_BATCH,)).fetchall():
        vectors = embedder.embed([f"{title}. {heading}. {text}" for _, title, heading, text in rows])
        with _transaction(database):
            pairs = zip((vector.tobytes() for vector in vectors.astype("<f4")), (row[0] for row in rows), strict=True)
            database.executemany("UPDATE places SET vector = ? WHERE passage = ?", pairs)
        done += len(rows)
        progress("embedding", done, total)
