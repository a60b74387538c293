"""What a reader yields, and the few helpers that keep a reader short.

A reader turns one layout into `Record`s and `BadRecord`s. `parsed` runs a function over the rows of a file and turns each `RowError`
that it raises into a `BadRecord`, so that a reader's own code is only the way of one good row.

Reasons are stable codes:

    bad_encoding         bytes that are not of the file's encoding, or characters that no text may hold
    bad_json, bad_csv    not well formed
    field_count          a CSV row with more or fewer fields than its header
    not_an_object, not_a_list, not_a_pair, not_text      a value of another type than the layout says
    missing_field, empty_field, no_messages, unknown_role, bad_answer
    unreadable_document, password_protected, unsupported_document, no_text      whole documents, or a page of one
    bad_record           a reader made something that is no conversation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bedside.corpus.conversation import Role

UNWRITABLE = re.compile("[\ud800-\udfff\0]")
"""Characters that no text may hold: lone surrogates (`lines` keeps undecodable bytes as such) and NUL."""


@dataclass(frozen=True, slots=True)
class Record:
    """One conversation as its source holds it.

    Attributes:
        messages: role and words of each message, in order, at least one.
        where: file and line, or the record's place in its file.
        family: records of one family stand on the same side of every split; None makes a family of this record alone.
        labels: gold facts, JSON values only.
    """

    messages: tuple[tuple[Role, str], ...]
    where: str
    family: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be used.

    Attributes:
        reason: a short stable code.
        where: file and line.
        detail: what was found, in words; never the record's text.
    """

    reason: str
    where: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One decoded value of a file.

    Attributes:
        where: file and line at which it begins.
        value: what the JSON or CSV says.
        keys: the object keys that lead to it, from the outermost; empty for rows of a list.
    """

    where: str
    value: Any
    keys: tuple[str, ...] = ()


class RowError(Exception):
    """Raised by a row's parser; `parsed` turns it into a `BadRecord`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parsed(rows: Iterable[Row | BadRecord], parse: Callable[[Row], Record]) -> Iterator[Record | BadRecord]:
    """Parse each row; rows that are bad already pass through."""
    for row in rows:
        if isinstance(row, BadRecord):
            yield row
            continue
        try:
            yield parse(row)
        except RowError as bad:
            yield BadRecord(bad.reason, row.where, bad.detail)


def field_of(value: Any, name: str) -> Any:
    """The field `name` of a JSON object.

    Raises:
        RowError: `not_an_object`, or `missing_field` with the first fields that are there.
    """
    if not isinstance(value, dict):
        raise RowError("not_an_object", f"a {type(value).__name__} where an object with {name!r} was expected")
    if name not in value:
        found = ", ".join(repr(str(key)[:30]) for key in list(value)[:5]) or "none"
        raise RowError("missing_field", f"{name!r} is missing; fields found: {found}")
    return value[name]


def words(value: Any, name: str) -> str:
    """`value` as text with no white space around it; `name` is for the error.

    Raises:
        RowError: `empty_field`, `not_text` or `bad_encoding`.
    """
    if value is None:
        raise RowError("empty_field", f"{name!r} is null")
    if not isinstance(value, str):
        raise RowError("not_text", f"{name!r} holds a {type(value).__name__}")
    if not value.strip():
        raise RowError("empty_field", f"{name!r} is empty")
    if bad := UNWRITABLE.search(value):
        raise RowError("bad_encoding", f"{name!r} holds U+{ord(bad.group()):04X}, which no text may hold")
    return value.strip()


def text_field(value: Any, name: str) -> str:
    """The field `name` of a JSON object as text (see `field_of` and `words` for what they raise)."""
    return words(field_of(value, name), name)


def list_field(value: Any, name: str) -> list[Any]:
    """The field `name` of a JSON object as a list.

    Raises:
        RowError: `not_an_object`, `missing_field` or `not_a_list`.
    """
    found = field_of(value, name)
    if not isinstance(found, list):
        raise RowError("not_a_list", f"{name!r} holds a {type(found).__name__}")
    return found


def normalised(text: str) -> str:
    """Text in one case with single spaces: what makes two wordings the same family."""
    return " ".join(text.casefold().split())
