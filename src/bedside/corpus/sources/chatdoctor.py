"""ChatDoctor's training layout: a JSON array, or JSON Lines, of

    {"instruction": "If you are a doctor, please answer …", "input": "Doctor, I have …", "output": "It sounds like …"}

The instruction becomes the system message, the input what the user says, the output what the assistant answers. All three have to hold
words. One family a row.

Layout: https://github.com/Kent0n-Li/ChatDoctor (chatdoctor5k.json, HealthCareMagic-100k.json, iCliniq).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bedside.corpus.sources.json_rows import json_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, parsed, text_field
from bedside.corpus.sources.registry import reader


@reader("chatdoctor", layout="a JSON array or JSON Lines of objects with 'instruction', 'input' and 'output'")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation a row: system, user, assistant.

    Raises:
        OSError: the file cannot be opened or read.
    """
    return parsed(json_rows(path), _record)


def _record(row: Row) -> Record:
    instruction, asked, answered = (text_field(row.value, name) for name in ("instruction", "input", "output"))
    return Record((("system", instruction), ("user", asked), ("assistant", answered)), row.where)
