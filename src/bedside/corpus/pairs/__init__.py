"""Pairs for the diagnostics assistant: what a device or laboratory reported → what an expert writes beside it.

`pairs` reads HL7 v2, FHIR, CSV and text; `library_pairs` makes pairs from the template library alone. A report that holds an expert's own
interpretation is answered with that; any other reading by the template that holds for it. What no template holds for is counted and left
out. Every conversation names the file and the characters it comes from in `labels["span"]`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from bedside.corpus.conversation import Conversation, Message, Provenance, Role
from bedside.corpus.pairs.library import by_statement, by_value, example, question, templates
from bedside.corpus.pairs.observed import Reading, observed
from bedside.corpus.sources import BadRecord, Record, read_source, reader
from bedside.workspace.ledger import DropLedger

NAME = "diagnostics"


def pairs(source: Path, *, name: str, licence: str, ledger: DropLedger, locale: str = "en-AU") -> Iterator[Conversation]:
    """Pairs from a file or a folder of files.

    Args:
        name: the source's name, for provenance and ledger.
        licence: SPDX identifier, or the source's own words.

    Raises:
        SourceError: the path does not exist, cannot be read, or holds not one usable reading.
    """
    return read_source(NAME, source, source=name, licence=licence, locale=locale, ledger=ledger)


@reader(NAME, layout="HL7 v2 messages, FHIR JSON, CSV with a name and a value column, or report text")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """Two records a reading: as it stands in the report, and as a clinical question about it.

    Raises:
        OSError: a file cannot be read.
    """
    for file in sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]:
        for reading in observed(file):
            yield from [reading] if isinstance(reading, BadRecord) else _records(reading, file.name)


def library_pairs(*, each: int, seed: int) -> Iterator[Conversation]:
    """Pairs from the template library: `each` invented readings for every template that has a threshold, one for every statement."""
    draw = random.Random(seed)
    for template in templates():
        for number in range(each if template.measure else 1):
            verbatim = example(template, draw)
            form = ("entry", "section", "question")[draw.randrange(3)]
            yield Conversation(
                messages=(
                    Message(role="user", content=question(form, verbatim)),
                    Message(role="assistant", content=template.written(verbatim)),
                ),
                provenance=Provenance(
                    source="diagnostics-library",
                    where=f"templates.yaml:{template.id}:{number}",
                    licence="Apache-2.0",
                    locale="en-AU",
                    family=f"diagnostics:{template.id}",
                ),
                labels={"template": template.id, "device": template.device},
            )


def _records(reading: Reading, file: str) -> Iterator[Record | BadRecord]:
    where = f"{file}:{reading.start}-{reading.end}"
    answer = _answer(reading)
    if isinstance(answer, str):
        yield BadRecord(answer, where, "nothing of ours holds for this reading")
        return
    template, words = answer
    labels = {"template": template, "span": {"file": file, "start": reading.start, "end": reading.end}}
    forms = (reading.form, "question") if "\n" not in reading.verbatim else (reading.form,)
    for form in forms:
        messages: tuple[tuple[Role, str], ...] = (("user", question(form, reading.verbatim)), ("assistant", words))
        yield Record(messages, f"{where}:{form}", family=where, labels=labels)


def _answer(reading: Reading) -> tuple[str, str] | str:
    """Which template answers a reading and with what words; a reason code where none may."""
    if reading.expert:
        return "source", f"Reported: {reading.verbatim}\nInterpretation: {reading.expert}"
    if reading.value is None:
        found = by_statement(reading.verbatim)
    else:
        found = by_value(reading.name, reading.code, reading.value, reading.unit, reading.low, reading.high)
    return found if isinstance(found, str) else (found[0], found[1].written(reading.verbatim))
