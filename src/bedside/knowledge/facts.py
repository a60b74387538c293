"""What every fact of the knowledge carries, and how files of facts are read.

A file of facts is YAML: `about` (one line), `defaults` (fields that all its facts share unless they say otherwise) and `facts` (a list).
Every fact has an id, a source, a certainty, the days it holds on and who reviewed it when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bedside.errors import KnowledgeError

Certainty = Literal["A", "B", "C", "D"]
"""A: read in a primary or official source. B: in a secondary one. C: professional knowledge, a draft until sourced. D: disputed or dated."""


class Fact(BaseModel):
    """One dated fact.

    Attributes:
        id: unique in all of the knowledge on any one day; one fact may stand there in several values that hold at different times.
        source: where it was read; a document, page or standard that a reader can find.
        certainty: see `Certainty`.
        valid_from: first day on which it holds; None: always did.
        valid_to: last day on which it holds; None: until further notice.
        reviewed_by: the clinician or staff member who signed it off; None: nobody yet.
        reviewed_on: the day of that review.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]*$")
    source: str = Field(min_length=3)
    certainty: Certainty
    valid_from: date | None = None
    valid_to: date | None = None
    reviewed_by: str | None = None
    reviewed_on: date | None = None

    def holds_on(self, day: date) -> bool:
        """Whether the fact is in force on `day`, both ends included."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


F = TypeVar("F", bound=Fact)


def read_facts(model: type[F], text: str, name: str) -> tuple[F, ...]:
    """Facts of one YAML file.

    Args:
        model: what each fact is.
        text: the file's content.
        name: what error messages call the file.

    Raises:
        KnowledgeError: not YAML, another layout, or facts with faults; all faulty facts are named, with their fields.
    """
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise KnowledgeError(f"{name} is no YAML: {' '.join(str(error).split())}", "Mend that line") from error
    if not isinstance(content, dict) or not isinstance(content.get("facts"), list):
        raise KnowledgeError(f"{name} has no list 'facts'", "Give it 'about', 'defaults' and 'facts'")
    return validated(model, content["facts"], content.get("defaults") or {}, name)


def validated(model: type[F], entries: Sequence[Any], defaults: Mapping[str, Any], name: str) -> tuple[F, ...]:
    """Entries as facts, each with the defaults that it does not set itself.

    Raises:
        KnowledgeError: entries with faults; all of them are named, with their fields.
    """
    facts: list[F] = []
    faults: list[str] = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            faults.append(f"fact {number}: is {type(entry).__name__}, not a mapping")
            continue
        try:
            facts.append(model.model_validate({**defaults, **entry}))
        except ValidationError as error:
            label = str(entry.get("id", number))
            faults += [f"fact {label}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
    if faults:
        raise KnowledgeError(f"{name} has {len(faults)} faults: {'; '.join(faults[:10])}", "Mend them and run the command again")
    return tuple(facts)


def built_in(model: type[F], file: str) -> tuple[F, ...]:
    """Facts of a file that is shipped with bedside."""
    return read_facts(model, files("bedside.knowledge").joinpath(file).read_text(encoding="utf-8"), file)


def from_file(model: type[F], path: Path) -> tuple[F, ...]:
    """Facts of a practice's own file.

    Raises:
        KnowledgeError: as `read_facts`, or the file is not UTF-8.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path} is not UTF-8 text (byte {error.start})", "Save it as UTF-8") from error
    return read_facts(model, text, str(path))
