"""The readers by name, and `read_source`, which runs one and accounts for every record it looked at.

Readers are found through entry points of group `bedside.readers`; the built-in ones are such entry points too, written down here so that
they are found in a checkout that was never installed. A reader's module is imported when its name is first asked for.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.sources.lines import iconv_hint
from bedside.corpus.sources.records import BadRecord, Record
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

Reader = Callable[[Path], Iterator[Record | BadRecord]]
"""Reads one file (or folder) and yields what is in it, record by record.

It raises `SourceError` where the file as a whole is of another layout, and lets `OSError` through.
"""

_GROUP = "bedside.readers"
_BUILT_IN = {
    name: EntryPoint(name, f"bedside.corpus.sources.{name}:read", _GROUP)
    for name in ("chatdoctor", "chat_messages", "documents", "intent_set", "mts_dialog", "pubmedqa", "star")
} | {
    # They stand on the readers of reports, a floor above this one, and are imported only when a recipe names them.
    name: EntryPoint(name, f"bedside.reports.pairs:{function}", _GROUP)
    for name, function in (("diagnostics", "read"), ("invented_reports", "read_invented"))
}
_readers: dict[str, Reader] = {}
_layouts: dict[str, str] = {}


def reader(name: str, *, layout: str = "") -> Callable[[Reader], Reader]:
    """Register a function as the reader `name`.

    Args:
        name: what a recipe writes.
        layout: what the reader expects, as the end of "expected …"; shown when a source yields nothing.

    Raises:
        SourceError: another function has that name already.
    """

    def register(read: Reader) -> Reader:
        built_in = _BUILT_IN[name].value if name in _BUILT_IN else None
        other = _address(_readers[name]) if name in _readers else built_in
        if other not in (None, _address(read)):
            raise SourceError(f"two readers are called {name!r}: {other} and {_address(read)}", "Rename one of them")
        _readers[name] = read
        _layouts[name] = layout
        return read

    return register


def known_readers() -> list[str]:
    """The names of all readers, built in and from installed packages, sorted."""
    return sorted({*_readers, *(point.name for point in _points())})


def get_reader(name: str) -> Reader:
    """The reader called `name`.

    Raises:
        SourceError: no reader, or two, have that name, or the package that has it cannot be imported.
    """
    points = {point.value: point for point in _points() if point.name == name}
    if len(points) > 1:
        raise SourceError(f"two readers are called {name!r}: {' and '.join(sorted(points))}", "Uninstall the package that you do not need")
    if name not in _readers and points:
        _load(*points.values())
    if name not in _readers:
        known = known_readers()
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise SourceError(f"no reader is called {name!r}", f"{hint}Known readers: {', '.join(known)}")
    return _readers[name]


def read_source(
    reader: str, path: Path, *, source: str, licence: str, locale: str, ledger: DropLedger, limit: int | None = None
) -> Iterator[Conversation]:
    """Read one source, and file what cannot be used under stage `sources`.

    Args:
        reader: the reader's name.
        path: the file or folder.
        source: the source's name in the recipe, for provenance and ledger.
        licence: SPDX identifier, or the source's own words.
        locale: BCP 47 tag of the wording.
        ledger: counts every record that was looked at, and takes the bad ones.
        limit: stop after so many conversations; None reads all.

    Yields:
        conversations in the source's order; as many as were seen less as many as were filed.

    Raises:
        SourceError: at the call, if the reader is unknown or the path does not exist; while reading, if the file cannot be read, has
            another layout than the reader expects, or holds not one usable record.
    """
    read = get_reader(reader)
    with _readable(path, source):
        if not path.exists():
            raise SourceError(f"source {source!r}: {str(path)!r} does not exist", "Correct the path of this source in the recipe")
    origin = Provenance(source=source, where="", licence=licence, locale=locale, family="")
    return _conversations(read, path, origin, ledger, limit, _layouts.get(reader, ""))


def _address(read: Reader) -> str:
    return f"{getattr(read, '__module__', '')}:{getattr(read, '__qualname__', repr(read))}"


def _points() -> list[EntryPoint]:
    return [*_BUILT_IN.values(), *entry_points(group=_GROUP)]


def _load(point: EntryPoint) -> None:
    try:
        read = point.load()
    except (ImportError, AttributeError) as error:
        raise SourceError(
            f"reader {point.name!r} ({point.value}) cannot be loaded: {error}",
            "Install what it needs, or uninstall the package that offers it",
        ) from error
    _readers.setdefault(point.name, read)


@contextmanager
def _readable(path: Path, source: str) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        raise SourceError(f"source {source!r}: {str(path)!r} is a folder and its reader reads one file", "Name a file inside it") from error
    except OSError as error:
        raise SourceError(
            f"source {source!r}: {str(path)!r} cannot be read ({error.strerror})", "Check its permissions and the disk it is on"
        ) from error


def _conversations(
    read: Reader, path: Path, origin: Provenance, ledger: DropLedger, limit: int | None, layout: str
) -> Iterator[Conversation]:
    if limit is not None and limit < 1:
        return
    kept = 0
    bad: list[BadRecord] = []
    with _readable(path, origin.source):
        for record in read(path):
            ledger.saw(origin.source)
            made = _conversation(record, origin) if isinstance(record, Record) else record
            if isinstance(made, BadRecord):
                bad.append(made)
                ledger.add("sources", "dropped", made.reason, source=origin.source, where=made.where, detail=made.detail)
                continue
            kept += 1
            yield made
            if kept == limit:
                return
    if not kept:
        raise _nothing(path, origin.source, bad, layout)


def _conversation(record: Record, origin: Provenance) -> Conversation | BadRecord:
    family = record.family or f"{origin.source}:{record.where}"
    try:
        conversation = Conversation(
            messages=tuple(Message(role=role, content=content) for role, content in record.messages),
            provenance=Provenance(**dict(origin) | {"where": record.where, "family": family}),
            labels=dict(record.labels),
        )
        conversation.model_dump_json()
    except ValueError as error:
        return BadRecord("bad_record", record.where, f"the reader made something that is no conversation ({type(error).__name__})")
    return conversation


def _nothing(path: Path, source: str, bad: list[BadRecord], layout: str) -> SourceError:
    """The error for a source that yields no record at all."""
    named = f"source {source!r} ({str(path)!r})"
    expected = f"expected {layout}; found " if layout else "found "
    if not bad:
        found = "an empty file" if path.is_file() and not path.stat().st_size else "no record at all"
        return SourceError(f"{named}: {expected}{found}", "Choose the file that holds the data, or the reader that fits it")
    first = bad[0]
    if all(record.reason == "bad_encoding" and record.detail.startswith("byte ") for record in bad):
        return SourceError(f"{named}: no record can be decoded; first at {first.where}: {first.detail}", iconv_hint(path, first.detail))
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(record.reason for record in bad).most_common(3))
    return SourceError(
        f"{named}: {expected}no usable record among {len(bad)} ({reasons}); first at {first.where}: {first.detail}",
        "Choose the reader that fits the file, or mend the file",
    )
