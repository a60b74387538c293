"""FHIR JSON with places: where each resource stands in its file, and numbers as they were written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

from bedside.reports.readers.source import ReportError, Source

MAX_OBJECTS = 100_000
MAX_JSON = 4 * 1024 * 1024
"""Characters outside of strings that JSON may have; embedded documents do not count."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class WrittenNumber(float):
    """A JSON number that remembers how it was written (`75.0` is not `75`)."""

    written: str

    def __new__(cls, written: str) -> WrittenNumber:
        made = super().__new__(cls, written)
        made.written = written
        return made


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource, and its characters in the file."""

    content: dict[str, Any]
    start: int
    end: int


class _Decoder(json.JSONDecoder):
    """Notes of every object with a resourceType where it stands."""

    def __init__(self, shift: int) -> None:
        super().__init__(parse_constant=_refused, parse_float=WrittenNumber, parse_int=WrittenNumber)
        self.resources: list[Placed] = []
        self.objects = 0
        self.shift = shift
        self.parse_object = self._object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, text_and_place: tuple[str, int], *options: Any) -> tuple[dict[str, Any], int]:
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise ReportError(f"the JSON has more than {MAX_OBJECTS:,} objects", "Split it into single bundles")
        value, end = json.decoder.JSONObject(text_and_place, *options)  # type: ignore[attr-defined]
        if isinstance(value.get("resourceType"), str):
            self.resources.append(Placed(value, self.shift + text_and_place[1] - 1, self.shift + end))
        return value, end


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def resources(source: Source) -> tuple[list[Placed], list[tuple[int, int, str]]]:
    """All resources of a JSON or NDJSON file, inner ones before the one that holds them, and lines that are no JSON with the reason.

    Raises:
        ReportError: it is too large.
    """
    if len(source.text) > MAX_JSON and len(_STRING.sub("", source.text)) > MAX_JSON:
        raise ReportError(f"{source.name} has more than {MAX_JSON:,} characters of JSON", "Split it into single bundles")
    whole = list(re.finditer(r"(?s)\S.*", source.text))
    found, faults = _decoded(whole)
    if faults and "\n" in source.text.strip():
        by_line, line_faults = _decoded(list(re.finditer(r"[^\r\n]*\S[^\r\n]*", source.text)))
        return (by_line, line_faults) if by_line else (found, faults)
    return found, faults


def _decoded(parts: list[re.Match[str]]) -> tuple[list[Placed], list[tuple[int, int, str]]]:
    found: list[Placed] = []
    faults: list[tuple[int, int, str]] = []
    objects = 0
    for part in parts:
        decoder = _Decoder(part.start())
        decoder.objects = objects
        try:
            decoder.decode(part.group())
            found += decoder.resources
        except (ValueError, RecursionError) as error:
            faults.append((part.start(), part.end(), str(error)[:120]))
        objects = decoder.objects
    return found, faults


class Node:
    """A JSON object that is read leniently: what is missing or of another type reads as empty."""

    def __init__(self, content: Any) -> None:
        self.content: dict[str, Any] = content if isinstance(content, dict) else {}

    def __bool__(self) -> bool:
        return bool(self.content)

    def text(self, *path: str) -> str:
        """A string at a path; numbers as they were written."""
        *way, last = path
        node = self
        for name in way:
            node = node.node(name)
        value = node.content.get(last)
        return value.written if isinstance(value, WrittenNumber) else value.strip() if isinstance(value, str) else ""

    def node(self, name: str) -> Node:
        """An object."""
        return Node(self.content.get(name))

    def nodes(self, name: str) -> list[Node]:
        """The objects of a list."""
        value = self.content.get(name)
        return [Node(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def has(self, name: str) -> bool:
        """Whether something stands there."""
        return self.content.get(name) is not None

    def number(self, name: str) -> float | None:
        """A number."""
        value = self.content.get(name)
        return float(value) if isinstance(value, WrittenNumber) else None

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        return cast(bool, self.content[name]) if isinstance(self.content.get(name), bool) else None
