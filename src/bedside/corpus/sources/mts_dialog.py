"""MTS-Dialog: CSV with the columns `ID`, `section_header`, `section_text` and `dialogue`.

A dialogue between doctor and patient, and what stands about it in one section of the note. The user asks for that section of the
dialogue, the assistant answers with the section's text. Label: `section_header`, as in the file. One family a dialogue: a dialogue that
stands in the file twice, for two sections, stays on one side of a split.

Layout and the meaning of the section headers: https://github.com/abachaa/MTS-Dialog.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bedside.corpus.sources.csv_rows import csv_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, normalised, parsed, text_field
from bedside.corpus.sources.registry import reader
from bedside.workspace.files import sha256_json

_SECTIONS = {
    "FAM/SOCHX": "family and social history",
    "GENHX": "history of present illness",
    "PASTMEDICALHX": "past medical history",
    "CC": "chief complaint",
    "PASTSURGICAL": "past surgical history",
    "ROS": "review of systems",
    "EDCOURSE": "emergency department course",
    "GYNHX": "gynaecological history",
    "OTHER_HISTORY": "other history",
}


@reader("mts_dialog", layout="a CSV file with the columns ID, section_header, section_text and dialogue")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation a row: the request with the dialogue, and the section.

    Raises:
        SourceError: a column is missing.
        OSError: the file cannot be opened or read.
    """
    return parsed(csv_rows(path, ("ID", "section_header", "section_text", "dialogue")), _record)


def _record(row: Row) -> Record:
    header, section, dialogue = (text_field(row.value, name) for name in ("section_header", "section_text", "dialogue"))
    title = _SECTIONS.get(header.upper(), header.lower())
    request = f"Summarise this dialogue for the section “{title}” of the patient's note.\n\n{dialogue}"
    family = f"dialogue:{sha256_json(normalised(dialogue))}"
    return Record((("user", request), ("assistant", section)), row.where, family, {"section_header": header})
