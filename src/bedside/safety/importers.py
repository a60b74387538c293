"""Interaction tables that a user has a licence for, read into one plain layout in the user's own folder.

| layout | known by | severities become |
|---|---|---|
| ANSM 2016, English pairs | columns drug_a, drug_b, level | contraindicated → contraindicated, not_recommended → major, precaution → moderate, take_into_account → minor |
| ANSM 2016, English statements | columns type1, name1, type2, name2, level; classes in a CSV beside it with columns class, drug | the same |
| ANSM 2020, French thesaurus | JSON list with main_drug, plus_drug, severity_levels; classes in a JSON beside it with substance, drug_classes | contre-indication → contraindicated, déconseillée → major, précaution → moderate, à prendre en compte → minor |
| DDInter | columns Drug_A, Drug_B, Level | Major, Moderate, Minor as they are; Unknown → moderate |
| CRESCENDDI, positive controls | columns DRUG_1_CONCEPT_NAME, DRUG_2_CONCEPT_NAME, ANSM_SEV_LEVEL | the worst of its columns whose name holds SEV; none → moderate |

The table stays outside the package: a JSONL file and a licence note beside it.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from bedside.errors import KnowledgeError
from bedside.knowledge.medicines import Severity
from bedside.safety.interactions import ORDER, Reason
from bedside.safety.medicines import recognise
from bedside.safety.text import fold

_SEVERITIES: dict[str, Severity] = {
    "contraindicated": "contraindicated",
    "contraindication": "contraindicated",
    "contre-indication": "contraindicated",
    "not_recommended": "major",
    "association deconseillee": "major",
    "severe": "major",
    "major": "major",
    "precaution": "moderate",
    "precaution d'emploi": "moderate",
    "moderate": "moderate",
    "unknown": "moderate",
    "take_into_account": "minor",
    "a prendre en compte": "minor",
    "mild": "minor",
    "minor": "minor",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One statement of a table: where it stands, the two names or lists of members, the severity as written, and the mechanism."""

    place: str
    names: tuple[tuple[str, ...], tuple[str, ...]]
    severity: str
    mechanism: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an import did.

    Attributes:
        layout: which layout was found.
        rows: statements read.
        pairs: pairs of generics written.
        bad: rows that could not be used, each with file, line and reason.
        unmatched: names that are no medicine of the built-in table, and how often they stood there.
    """

    layout: str
    rows: int
    pairs: int
    bad: tuple[str, ...]
    unmatched: dict[str, int]


class ImportedTable:
    """A table that was imported; it answers beside the built-in rules."""

    def __init__(self, reasons: Mapping[frozenset[str], Reason]) -> None:
        self._reasons = dict(reasons)

    def __len__(self) -> int:
        return len(self._reasons)

    def between(self, one: str, other: str) -> tuple[Reason, ...]:
        """The row for two generics, in either order."""
        found = self._reasons.get(frozenset((one, other)))
        return (found,) if found else ()


def import_table(path: Path, out: Path, *, licence: str) -> Report:
    """Read a table of interactions and write it as JSONL, with `<out>.licence.txt` beside it.

    Args:
        path: the table, in one of the layouts above.
        out: JSONL file to write.
        licence: under which terms the user holds the table; kept with it.

    Raises:
        KnowledgeError: the layout is not known, a file that it needs is missing, or nothing in it could be used.
        OSError: a file cannot be read or written.
    """
    if not licence.strip():
        raise KnowledgeError(f"{path} comes without a licence", "Say under which terms you hold it, such as --licence 'Etalab 2.0'")
    layout, rows = _open(path)
    bad: list[str] = []
    unmatched: Counter[str] = Counter()
    pairs: dict[tuple[str, str], tuple[Severity, Row]] = {}
    statements = list(rows)
    for row in statements:
        severity = _SEVERITIES.get(fold(row.severity)[0].strip())
        if severity is None or not all(row.names):
            bad.append(
                f"{row.place}: "
                + (f"severity {row.severity!r} is not known" if severity is None else "a name is empty, or a class without members")
            )
            continue
        for pair in _matched_pairs(row, unmatched):
            if pair not in pairs or ORDER.index(severity) > ORDER.index(pairs[pair][0]):
                pairs[pair] = severity, row
    if not pairs:
        raise KnowledgeError(
            f"{path} ({layout}) gave no pair of known medicines from {len(statements)} rows", f"Look at its rows; first faults: {bad[:3]}"
        )
    _write(out, pairs, path.name, licence)
    return Report(layout, len(statements), len(pairs), tuple(bad), dict(unmatched.most_common()))


def load_table(path: Path) -> ImportedTable:
    """A table that `import_table` wrote.

    Raises:
        KnowledgeError: a line is no row of such a table; it is named.
    """
    reasons: dict[frozenset[str], Reason] = {}
    for line, text in enumerate(_text(path).splitlines(), 1):
        try:
            row = json.loads(text)
            severity = row["severity"]
            if severity not in ORDER:
                raise ValueError(f"severity {severity!r}")
            both = (str(row["a"]), str(row["b"]))
            rule = f"{path.stem}:{row['place']}"
            reasons[frozenset(both)] = Reason(
                rule, severity, both, str(row["mechanism"]), "", "check-before-together", str(row["source"]), "B"
            )
        except (ValueError, KeyError, TypeError) as error:
            raise KnowledgeError(f"{path} line {line} is no row of an imported table ({error})", "Import the table again") from error
    return ImportedTable(reasons)


def _write(out: Path, pairs: Mapping[tuple[str, str], tuple[Severity, Row]], source: str, licence: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {"a": a, "b": b, "severity": severity, "mechanism": row.mechanism, "place": row.place, "source": source}, ensure_ascii=False
        )
        for (a, b), (severity, row) in sorted(pairs.items(), key=lambda item: item[0])
    ]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out.with_name(out.name + ".licence.txt").write_text(f"{source}: {licence.strip()}\n", encoding="utf-8")


def _matched_pairs(row: Row, unmatched: Counter[str]) -> Iterator[tuple[str, str]]:
    sides = []
    for names in row.names:
        known: set[str] = set()
        for name in names:
            found = _generics(name)
            known |= found
            unmatched.update([] if found else [name])
        sides.append(known)
    for one, other in product(*sides):
        if one != other:
            yield (one, other) if one < other else (other, one)


@cache
def _generics(name: str) -> frozenset[str]:
    """Generics that a name stands for word for word, or by the rules that French names follow; spelling is never guessed here."""
    for form in (name, *_from_french(fold(name)[0].strip())):
        mentions = recognise(form, in_context=True)
        if mentions and mentions[0].by in ("generic", "brand"):
            return frozenset(generic for mention in mentions for generic in mention.generics)
    return frozenset()


def _from_french(name: str) -> Iterator[str]:
    if name.startswith("acide ") and name.endswith("ique"):
        yield name.removeprefix("acide ").removesuffix("ique") + "ic acid"
    yield name.removesuffix("e")
    yield name + "e"


Opener = Callable[[Path, list[dict[str, str]]], Iterator[Row]]


def _open(path: Path) -> tuple[str, Iterator[Row]]:
    text = _text(path)
    if text.lstrip().startswith("["):
        return "ANSM 2020 French", _french(path, _json_list(path, text))
    columns, table = _csv(path, text)
    for layout, needed, rows in _LAYOUTS:
        if needed <= columns:
            return layout, rows(path, table)
    known = "; ".join(f"{layout}: {', '.join(sorted(needed))}" for layout, needed, _ in _LAYOUTS)
    raise KnowledgeError(f"{path} has the columns {sorted(columns)}, which no layout has", f"Give a table with one of: {known}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path} is not UTF-8 text (byte {error.start})", "Save it as UTF-8") from error


def _csv(path: Path, text: str) -> tuple[set[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file."""
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        return set(reader.fieldnames or ()), list(reader)
    except csv.Error as error:
        raise KnowledgeError(f"{path} is no CSV ({error})", "Get the file again") from error


def _json_list(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KnowledgeError(f"{path} is no JSON ({error})", "Get the file again") from error
    return [entry for entry in content if isinstance(entry, dict)]


def _columns(one: str, other: str, severity: str, mechanism: str = "") -> Opener:
    def rows(path: Path, table: list[dict[str, str]]) -> Iterator[Row]:
        for line, row in enumerate(table, 2):
            names = (_one(row.get(one)), _one(row.get(other)))
            yield Row(f"{path.name}:{line}", names, row.get(severity) or "", (row.get(mechanism) or "").strip())

    return rows


def _one(name: str | None) -> tuple[str, ...]:
    return (name.strip(),) if name and name.strip() else ()


def _statements(path: Path, table: list[dict[str, str]]) -> Iterator[Row]:
    classes = defaultdict(list)
    for beside in sorted(path.parent.glob("*.csv")):
        columns, rows = _csv(beside, _text(beside))
        if {"class", "drug"} <= columns:
            for row in rows:
                if row["drug"] and row["drug"].strip():
                    classes[row["class"].strip().lower()].append(row["drug"].strip())
    if not classes:
        raise KnowledgeError(
            f"no CSV beside {path} has the columns class and drug", "Put the classes of the thesaurus into the same folder"
        )
    for line, row in enumerate(table, 2):
        names = tuple(
            tuple(classes[(row[f"name{side}"] or "").strip().lower()]) if row[f"type{side}"] == "class" else _one(row[f"name{side}"])
            for side in "12"
        )
        yield Row(f"{path.name}:{line}", (names[0], names[1]), row["level"] or "", (row.get("description") or "").strip())


def _crescenddi(path: Path, table: list[dict[str, str]]) -> Iterator[Row]:
    for line, row in enumerate(table, 2):
        marks = [value.strip() for column, value in row.items() if column and "SEV" in column.upper() and value and value.strip()]
        graded = [mark for mark in marks if fold(mark)[0] in _SEVERITIES]
        worst = max(graded, key=lambda mark: ORDER.index(_SEVERITIES[fold(mark)[0]]), default=marks[0] if marks else "unknown")
        names = (_one(row["DRUG_1_CONCEPT_NAME"]), _one(row["DRUG_2_CONCEPT_NAME"]))
        yield Row(f"{path.name}:{line}", names, worst, (row.get("EVENT_CONCEPT_NAME") or "").strip())


def _french(path: Path, thesaurus: list[dict[str, Any]]) -> Iterator[Row]:
    classes = defaultdict(list)
    for beside in sorted(path.parent.glob("*.json")):
        for entry in _json_list(beside, _text(beside)):
            for name in _listed(entry, "drug_classes"):
                classes[fold(str(name))[0]].append(str(entry.get("substance", "")))
    for number, entry in enumerate(thesaurus, 1):
        names = tuple(
            tuple(classes.get(fold(name)[0], ())) or _one(name)
            for name in (str(entry.get("main_drug", "")), str(entry.get("plus_drug", "")))
        )
        levels = [str(level.get("level", "")) for level in _listed(entry, "severity_levels") if isinstance(level, dict)]
        graded = [level for level in levels if fold(level)[0].strip() in _SEVERITIES]
        worst = max(graded, key=lambda level: ORDER.index(_SEVERITIES[fold(level)[0].strip()]), default=levels[0] if levels else "")
        mechanism = " ".join(str(entry.get("interaction_mechanism", "")).split())
        yield Row(f"{path.name}:entry {number}", (names[0], names[1]), worst, mechanism)


def _listed(entry: dict[str, Any], field: str) -> list[Any]:
    value = entry.get(field)
    return value if isinstance(value, list) else []


_LAYOUTS: tuple[tuple[str, frozenset[str], Opener], ...] = (
    ("ANSM 2016 English pairs", frozenset(("drug_a", "drug_b", "level")), _columns("drug_a", "drug_b", "level")),
    ("ANSM 2016 English statements", frozenset(("type1", "name1", "type2", "name2", "level")), _statements),
    ("DDInter", frozenset(("Drug_A", "Drug_B", "Level")), _columns("Drug_A", "Drug_B", "Level")),
    ("CRESCENDDI", frozenset(("DRUG_1_CONCEPT_NAME", "DRUG_2_CONCEPT_NAME", "ANSM_SEV_LEVEL")), _crescenddi),
)
