"""Readers of the data people hold: each turns one layout into conversations with provenance.

`read_source("chatdoctor", path, ...)` reads one source. Another package adds a reader of its own with

    from bedside.corpus.sources import BadRecord, Record, reader

    @reader("clinic_notes", layout="one note a line")
    def read(path: Path) -> Iterator[Record | BadRecord]: ...

and an entry point of group `bedside.readers` that names it: `clinic_notes = "clinic_package.notes:read"`.
"""

from bedside.corpus.sources.records import BadRecord, Record
from bedside.corpus.sources.registry import Reader, get_reader, known_readers, read_source, reader

__all__ = ["BadRecord", "Reader", "Record", "get_reader", "known_readers", "read_source", "reader"]
