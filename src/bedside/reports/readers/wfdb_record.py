"""WFDB records (PhysioNet): a header and its signal files, from a folder or in one zip, by the `wfdb` package."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bedside.reports.model import DiagnosticReport, Kind, Person, Sex, Signal
from bedside.reports.readers.source import MAX_BYTES, Draft, ReportError, Source

_BETWEEN = rb"(?:#[^\n]*\r?\n|[ \t]*\r?\n)*"
_HEADER = re.compile(
    rb"^"
    + _BETWEEN
    + rb"[A-Za-z0-9_./-]+[ \t]+\d{1,3}[ \t]+[\d.]+(?:[/(][^ \t\r\n]*)?[ \t]+\d+[^\n]*\n"
    # A table of bare numbers begins like a record line; the line of a signal begins with the name of a file.
    + _BETWEEN
    + rb"[^\s#]*[A-Za-z~][^\s]*[ \t]+\d{1,3}"
)
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}")
_MOST_FILES = 40
_COMMENT = re.compile(r"\s*(age|sex|gender)\s*[:=]?\s*(\S+)", re.IGNORECASE)
_NEXT = "Give the path of the .hea file beside its signal files, or both in one zip"


def sniff(head: bytes, name: str) -> bool:
    """Whether a file is a WFDB header, or a zip whose first member is one or its signals."""
    if name.lower().endswith(".hea"):
        return True
    if head.startswith(b"PK\x03\x04"):
        return re.match(rb"PK\x03\x04.{26}[A-Za-z0-9_./-]{1,120}\.(?:hea|dat)", head, re.DOTALL) is not None
    return _HEADER.match(head) is not None


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The records of a zip.

    Raises:
        ReportError: it is a header alone, no zip, unpacks to too much, or holds no record that can be read.
    """
    if not data.startswith(b"PK"):
        raise ReportError(f"{name} is a WFDB header; its signals are in another file", _NEXT)
    with tempfile.TemporaryDirectory(prefix="bedside-wfdb-") as folder:
        headers = _unpacked(data, name, Path(folder))
        return [report for header in headers for report in read_path(header)]


def read_path(path: Path) -> list[DiagnosticReport]:
    """The record of a header (or of the signal file beside it).

    Raises:
        ReportError: a file is missing, broken or too large, or the header names files outside of its folder.
    """
    header = path.with_suffix(".hea")
    try:
        text = _text(header)
    except OSError as error:
        raise ReportError(f"{header} cannot be read ({error.strerror})", _NEXT) from error
    _checked(header, text)
    try:
        import wfdb

        record = wfdb.rdrecord(str(header.with_suffix("")))
    except Exception as error:  # wfdb raises whatever a broken header leads to
        raise ReportError(f"{header.name} is a broken WFDB record ({type(error).__name__}: {str(error)[:120]})", _NEXT) from error
    return [_report(record, header.name, text)]


def signal_files(header: Path) -> tuple[Path, ...]:
    """The signal files that a header names, beside it, whether they are there or not; none where it cannot be read."""
    try:
        lines = _lines(_text(header))
    except OSError:
        return ()
    channels = lines[0].split()[1:2] if lines else []
    names = dict.fromkeys(line.split()[0] for line in lines[1 : 1 + int(channels[0])]) if channels and channels[0].isdecimal() else {}
    return tuple(header.parent / name for name in names if _SAFE.fullmatch(name))


def _text(header: Path) -> str:
    with header.open("rb") as file:
        return file.read(1024 * 1024).decode("utf-8", errors="replace")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _checked(header: Path, text: str) -> None:
    """Refuses what would make the library read elsewhere or reserve memory without end."""
    lines = _lines(text)
    first = lines[0].split() if lines else []
    if len(first) < 4 or "/" in first[0] or not first[1].isdigit() or not first[3].isdigit() or not 1 <= int(first[1]) <= 64:
        raise ReportError(f"{header.name} begins with {' '.join(first)[:60]!r}; one record of known length is read", _NEXT)
    channels, length = int(first[1]), int(first[3])
    names = {line.split()[0] for line in lines[1 : 1 + channels]}
    size = 0
    for name in names:
        if not _SAFE.fullmatch(name) or not (header.parent / name).is_file():
            raise ReportError(f"{header.name} names the signal file {name[:60]!r}, which is not beside it", _NEXT)
        size += (header.parent / name).stat().st_size
    if size > MAX_BYTES or channels * length > 4 * size:
        raise ReportError(f"{header.name} says {channels} × {length:,} samples in {size:,} bytes", "Give the whole record, up to 64 MiB")


def _unpacked(data: bytes, name: str, folder: Path) -> list[Path]:
    """Members of a zip by their plain names; their headers."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > _MOST_FILES or sum(member.file_size for member in members) > MAX_BYTES:
                raise ReportError(
                    f"{name} unpacks to {len(members)} files of {sum(m.file_size for m in members):,} bytes",
                    "Give single records, up to 64 MiB",
                )
            for member in members:
                plain = Path(member.filename).name
                if _SAFE.fullmatch(plain):
                    with archive.open(member) as packed:
                        (folder / plain).write_bytes(packed.read(member.file_size))
    except ReportError:
        raise
    except Exception as error:  # zipfile raises zlib's, struct's and its own errors
        raise ReportError(f"{name} is a broken zip ({type(error).__name__}: {str(error)[:80]})", _NEXT) from error
    headers = sorted(folder.glob("*.hea"))
    if not headers:
        raise ReportError(f"{name} holds no WFDB header (.hea)", _NEXT)
    return headers


def _report(record: Any, name: str, text: str) -> DiagnosticReport:
    draft = Draft(Source(name, text), record.record_name)
    start = datetime.combine(record.base_date, record.base_time) if record.base_date and record.base_time else None
    for number, (lead, unit) in enumerate(zip(record.sig_name, record.units, strict=True)):
        values = np.asarray(record.p_signal[:, number], dtype=np.float64)
        place = text.find(lead)
        span = draft.source.span(f"signal {number + 1}", place if place >= 0 else None, place + len(lead) if place >= 0 else None)
        draft.signals.append(Signal(name=lead, values=values, unit=unit.replace("µ", "u"), rate=float(record.fs), start=start, source=span))
    draft.comments += [comment.strip() for comment in record.comments if comment.strip()]
    kind: Kind = "ecg" if any(signal.unit in ("mV", "uV") for signal in draft.signals) else "other"
    return draft.report("wfdb", kind, id=record.record_name, time=start, patient=Person(sex=_sex(draft.comments)))


def _sex(comments: list[str]) -> Sex:
    for comment in comments:
        found = _COMMENT.search(comment)
        if found and found[1].lower() != "age":
            return "female" if found[2].lower().startswith("f") else "male" if found[2].lower().startswith("m") else "unknown"
    return "unknown"
