"""Patients' records of a folder, found by whom a report is about."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from bedside.errors import BedsideError, SourceError
from bedside.reports.model import Person
from bedside.reports.patient import PatientRecord, read_patient

_SUFFIXES = (".yaml", ".yml", ".json")
_LOOK_AGAIN = 5.0
"""Seconds after which the folder is looked at again."""


class Records:
    """A folder of records, one file a patient; a file that is added or changed counts within seconds.

    A record is found by the IHI, by Medicare number with given name and birth date, or by name and birth date. Other numbers differ from
    laboratory to laboratory.

    Args:
        folder: of FHIR bundles and YAML; None: no records.

    Raises:
        SourceError: there is no such folder.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise SourceError(f"there is no folder of records {str(folder)!r}", "Give the folder that holds a file for each patient")
        self._folder = folder
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._records: dict[Path, PatientRecord] = {}
        self._by_key: dict[tuple[str, ...], set[Path]] = {}
        self._looked = -_LOOK_AGAIN
        self.unreadable: dict[Path, str] = {}
        """Files that are no record, with what is wrong."""

    def __len__(self) -> int:
        self._look()
        return len(self._records)

    def of(self, person: Person) -> PatientRecord | None:
        """The record of a person; None where there is none.

        Raises:
            SourceError: two files are of that person.
        """
        self._look()
        for key in _keys(person):
            found = self._by_key.get(key, set())
            if len(found) > 1:
                names = " and ".join(sorted(path.name for path in found))
                raise SourceError(f"two records are of the same person: {names}", "Keep one of them in the folder of records")
            if found:
                return self._records[next(iter(found))]
        return None

    def _look(self) -> None:
        if self._folder is None or time.monotonic() - self._looked < _LOOK_AGAIN:
            return
        self._looked = time.monotonic()
        stamps = {path: _stamp(path) for path in self._folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()}
        if stamps == self._stamps:
            return
        for path in {path for path in (*stamps, *self._stamps) if stamps.get(path) != self._stamps.get(path)}:
            self._records.pop(path, None)
            self.unreadable.pop(path, None)
            if path in stamps:
                try:
                    self._records[path] = read_patient(path)
                except BedsideError as error:
                    self.unreadable[path] = error.problem
        self._stamps, self._by_key = stamps, {}
        for path, record in self._records.items():
            for key in _keys(record.person):
                self._by_key.setdefault(key, set()).add(path)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _keys(person: Person) -> Iterator[tuple[str, ...]]:
    """What a person is found by, the surest first."""
    numbers = {kind: re.sub(r"\W", "", value) for kind, value in person.identifiers.items()}
    family, given = (re.sub(r"[^a-z]", "", name.lower()) for name in (person.family, person.given))
    born = person.birth_date.isoformat() if person.birth_date else ""
    if ihi := numbers.get("ihi"):
        yield "ihi", ihi
    if born and given and (medicare := numbers.get("medicare")):
        yield "medicare", medicare[:9], given[:3], born
    if born and given and family:
        yield "name", family, given[:3], born
