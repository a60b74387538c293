"""Files and streams de-identified: one output for each input file, and JSON Lines from any iterable of lines.

A file of the output folder is named after the content it came from (`3f2a….txt`), because file names tell who somebody is too; `index.jsonl`
says which is which and stays with the owner. A file that is in the index with the same content and settings is not done again, so a run that
was stopped goes on where it stopped.

    .txt, .md       line by line
    .csv            cell by cell, the header stays
    .jsonl          rows with `id` and `text`, as `deidentify_lines` reads them
    .docx, .pdf     their text, as the `documents` reader gives it, written as .txt
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bedside.corpus.deidentify import Surrogates, find, redact
from bedside.corpus.deidentify.spans import Recogniser, Span
from bedside.corpus.sources.csv_rows import csv_rows
from bedside.corpus.sources.lines import lines
from bedside.corpus.sources.records import BadRecord
from bedside.errors import SourceError
from bedside.workspace.files import read_jsonl, sha256_file, sha256_json, written_whole
from bedside.workspace.ledger import DropLedger

Mode = Literal["redact", "surrogates"]
Progress = Callable[[int, int], None]
INDEX = "index.jsonl"
STAGE = "deidentify"
_PIECE = 50_000
"""Longer lines are looked at in pieces of about so many characters, cut at a space."""


@dataclass(frozen=True)
class Settings:
    """How to de-identify.

    Attributes:
        mode: `redact` puts `[TYPE]` in place of each span, `surrogates` an invented value.
        seed: of the surrogates.
        recognisers: more recognisers, joined with our own.
    """

    mode: Mode = "redact"
    seed: int = 0
    recognisers: Sequence[Recogniser] = field(default=())


def deidentify_text(text: str, settings: Settings, record: Surrogates) -> tuple[str, tuple[Span, ...]]:
    """`text` de-identified, and the spans in it as it came in. One `record` for all the texts of one person's record."""
    done, spans = [], []
    for start, piece in _pieces(text):
        found = find(piece, settings.recognisers)
        done.append(redact(piece, found) if settings.mode == "redact" else record.replace(piece, found))
        spans += [Span(start + span.start, start + span.end, span.type, span.confidence, span.by) for span in found]
    return "".join(done), tuple(spans)


def deidentify_lines(rows: Iterable[str], settings: Settings, ledger: DropLedger, source: str = "-") -> Iterator[str]:
    """JSON Lines `{"id", "text"}` to `{"id", "text", "spans": [{"start", "end", "type"}]}`, other keys left out.

    `text` comes out de-identified; the spans stand in the text as it came in, in characters. A line that is no such row is filed in the ledger
    (`bad_json`, `not_an_object`, `missing_field`, `not_text`) and left out. A row without `id` gets its line number.
    """
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        ledger.saw(source)
        where = f"{source}:{number}"
        row = _row(line)
        if isinstance(row, BadRecord):
            ledger.add(STAGE, "dropped", row.reason, source=source, where=where, detail=row.detail)
            continue
        name = row.get("id", number)
        text, spans = deidentify_text(row["text"], settings, Surrogates(settings.seed, str(name)))
        _file_masks(ledger, spans, source, where)
        yield (
            json.dumps(
                {"id": name, "text": text, "spans": [{"start": s.start, "end": s.end, "type": s.type} for s in spans]}, ensure_ascii=False
            )
            + "\n"
        )


def deidentify_file(path: Path, out: Path, settings: Settings, ledger: DropLedger, progress: Progress | None = None) -> dict[str, int]:
    """De-identify a file, or every file of a folder and its sub-folders, into the folder `out`.

    Args:
        path: `.txt`, `.md`, `.csv`, `.jsonl`, `.docx` or `.pdf`, or a folder.
        out: where the outputs and `index.jsonl` go.
        ledger: takes what was masked (one entry for each type and file) and every file or row that could not be read.
        progress: called with files done and files in all, before the first and behind each.

    Returns:
        Spans by type, those of files done in an earlier run included.

    Raises:
        SourceError: `path` does not exist, or `out` lies inside it.
        WorkspaceError: `out` is full or cannot be written.
    """
    files = _files(path, out)
    index = {row["sha256"]: row for row in read_jsonl(out / INDEX)} if (out / INDEX).exists() else {}
    print_of_settings = sha256_json({"mode": settings.mode, "seed": settings.seed, "recognisers": len(settings.recognisers)})
    done: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for number, file in enumerate(files):
        if progress:
            progress(number, len(files))
        row = _one_file(file, path, out, settings, ledger, index, print_of_settings)
        if row:
            done.append(row)
            counts.update(row["spans"])
            with written_whole(out / INDEX) as partial:
                partial.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in done), encoding="utf-8")
    if progress:
        progress(len(files), len(files))
    return dict(counts.most_common())


def _files(path: Path, out: Path) -> list[Path]:
    if not path.exists():
        raise SourceError(f"{str(path)!r} does not exist", "Name a file or folder to de-identify")
    if path.is_file():
        return [path]
    if out.resolve().is_relative_to(path.resolve()):
        raise SourceError(
            f"the output folder {str(out)!r} lies inside {str(path)!r}",
            "Choose a folder outside it, or the next run would read its own output",
        )
    return sorted(
        file for file in path.rglob("*") if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _one_file(
    file: Path, root: Path, out: Path, settings: Settings, ledger: DropLedger, index: dict[str, dict[str, Any]], print_of_settings: str
) -> dict[str, Any] | None:
    name = file.name if file == root else file.relative_to(root).as_posix()
    write = _WRITERS.get(file.suffix.lower())
    if write is None:
        ledger.add(
            STAGE, "dropped", "unsupported_document", source=name, where=name, detail=f"{file.suffix!r} is none of {', '.join(_WRITERS)}"
        )
        return None
    digest = sha256_file(file)
    suffix = file.suffix.lower() if file.suffix.lower() in (".md", ".csv", ".jsonl") else ".txt"
    target = out / f"{digest[:16]}{suffix}"
    before = index.get(digest)
    if before and before["settings"] == print_of_settings and target.exists():
        return {**before, "file": name}
    own = DropLedger()
    with written_whole(target) as partial:
        write(file, partial, settings, own, name)
    ledger.entries += own.entries
    ledger.seen.update(own.seen)
    spans = Counter(entry.reason for entry in own.entries if entry.action == "masked" for _ in range(int(entry.detail.split()[0])))
    return {"file": name, "sha256": digest, "output": target.name, "settings": print_of_settings, "spans": dict(spans)}


def _write_text(file: Path, target: Path, settings: Settings, ledger: DropLedger, name: str) -> None:
    texts = []
    for line in lines(file):
        if fault := line.fault():
            ledger.add(STAGE, "dropped", "bad_encoding", source=name, where=f"{name}:{line.number}", detail=fault)
        else:
            texts.append(line.text)
    _write_whole("".join(texts), target, settings, ledger, name)


def _write_document(file: Path, target: Path, settings: Settings, ledger: DropLedger, name: str) -> None:
    # pypdf and python-docx belong to the extra `documents`.
    from bedside.corpus.sources.documents import read

    texts = []
    for record in read(file):
        if isinstance(record, BadRecord):
            ledger.add(STAGE, "dropped", record.reason, source=name, where=record.where, detail=record.detail)
        else:
            texts += [words for _, words in record.messages]
    _write_whole("\n\n".join(texts), target, settings, ledger, name)


def _write_whole(text: str, target: Path, settings: Settings, ledger: DropLedger, name: str) -> None:
    ledger.saw(name)
    done, spans = deidentify_text(text, settings, Surrogates(settings.seed, name))
    _file_masks(ledger, spans, name, name)
    target.write_text(done, encoding="utf-8")


def _write_csv(file: Path, target: Path, settings: Settings, ledger: DropLedger, name: str) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer: Any = None
        for row in csv_rows(file, ()):
            ledger.saw(name)
            if isinstance(row, BadRecord):
                ledger.add(STAGE, "dropped", row.reason, source=name, where=row.where, detail=row.detail)
                continue
            if writer is None:
                writer = csv.writer(stream)
                writer.writerow(row.value)
            record = Surrogates(settings.seed, row.where)
            cells = [_cell(column, cell, settings, record) for column, cell in row.value.items()]
            _file_masks(ledger, [span for _, spans in cells for span in spans], name, row.where)
            writer.writerow([text for text, _ in cells])


def _cell(column: str, cell: str, settings: Settings, record: Surrogates) -> tuple[str, tuple[Span, ...]]:
    """A cell read with its column's name before it, which is often the only cue there is ("surname", "dob")."""
    cue = f"{column.replace('_', ' ')}: "
    found = find(cue + cell, settings.recognisers)
    spans = tuple(Span(max(0, s.start - len(cue)), s.end - len(cue), s.type, s.confidence, s.by) for s in found if s.end > len(cue))
    return (redact(cell, spans) if settings.mode == "redact" else record.replace(cell, spans)), spans


def _write_jsonl(file: Path, target: Path, settings: Settings, ledger: DropLedger, name: str) -> None:
    with target.open("w", encoding="utf-8") as stream:
        stream.writelines(deidentify_lines((line.text for line in lines(file)), settings, ledger, name))


def _row(line: str) -> dict[str, Any] | BadRecord:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRecord("bad_json", "", str(error)[:200])
    if not isinstance(row, dict):
        return BadRecord("not_an_object", "", f"a {type(row).__name__} where an object was expected")
    if "text" not in row:
        return BadRecord("missing_field", "", f"'text' is missing; fields found: {', '.join(map(repr, list(row)[:5])) or 'none'}")
    if not isinstance(row["text"], str):
        return BadRecord("not_text", "", f"'text' holds a {type(row['text']).__name__}")
    return row


def _file_masks(ledger: DropLedger, spans: Iterable[Span], source: str, where: str) -> None:
    for type_, count in Counter(span.type for span in spans).items():
        ledger.add(STAGE, "masked", type_, source=source, where=where, detail=f"{count} spans")


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    while start < len(text) or start == 0:
        end = start + _PIECE
        if end < len(text):
            cut = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + _PIECE // 2, end))
            end = cut + 1 if cut > start else end
        yield start, text[start:end]
        start = end


_WRITERS: dict[str, Callable[[Path, Path, Settings, DropLedger, str], None]] = {
    ".txt": _write_text,
    ".md": _write_text,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".docx": _write_document,
    ".pdf": _write_document,
}
