"""Backup of a gateway in one file while it runs, and back into an empty place.

    manifest.json      what it is, the heads of the audit logs, what was left out, and SHA-256 and size of every file below
    gateway.yaml       the settings
    state/             the state folder: database (SQLite), audit log, keys and certificates
    database.sqlite    the database, where SQLite is elsewhere         database.pgdump    where it is PostgreSQL
    phone/             the phone line's folder: transcripts, recordings, its own audit log and database
    files/             files that the settings name beside them: practice, protocol, certificate, public key

A ZIP file, readable for its owner only: it holds patients' data and keys, and is to be kept as they are. Releases are not in it; they are
copied by themselves and checked by their signature.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bedside import __version__
from bedside.server.settings import GatewaySettings, load_settings
from bedside.server.snapshots import (
    BackupError,
    check_sqlite,
    database_url,
    load_postgresql,
    save_postgresql,
    save_sqlite,
    sqlite_file,
)
from bedside.workspace.audit import AuditLog, Head, Verified
from bedside.workspace.files import disk_errors, sha256_file, written_whole

MANIFEST, SETTINGS, SQLITE, POSTGRESQL = "manifest.json", "gateway.yaml", "database.sqlite", "database.pgdump"
_TOP = frozenset({SETTINGS, SQLITE, POSTGRESQL, "state", "phone", "files"})
_LARGEST_MANIFEST = 64 << 20
_CHUNK = 1 << 20
_MADE_ANEW = "prompts"
"""Folder of the phone line with what its voice said before; it says it again."""
_AGAIN = "Use another copy of it, or an older backup"

Note = Callable[[str], None]


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in _TOP or ".." in parts or "\\" in name or "\0" in name or name != "/".join(parts):
        raise ValueError("is no name of a file in a backup")
    return name


_Name = Annotated[str, AfterValidator(_inside)]


class StoredFile(BaseModel):
    """A file of a backup: SHA-256 in hex and size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int = Field(ge=0)


class StoredAudit(BaseModel):
    """An audit log of a backup: its entries, number and hash of the last, and the first that was not whole already when it was backed up."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    entries: int
    head: tuple[int, str]
    broken: str | None

    @classmethod
    def of(cls, found: Verified) -> StoredAudit:
        """As a check found it."""
        return cls(entries=found.entries, head=(found.head.seq, found.head.hash), broken=found.broken)


class BackupManifest(BaseModel):
    """What a backup says of itself.

    Attributes:
        format: of the backup.
        bedside: version that made it.
        made: when.
        databases: their files; the name tells the kind.
        audits: folder → audit log.
        left_out: what belongs to the gateway and is not in the backup.
        files: name → entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    bedside: str
    made: datetime
    databases: tuple[_Name, ...]
    audits: dict[_Name, StoredAudit]
    left_out: tuple[str, ...]
    files: dict[_Name, StoredFile]


@dataclass(frozen=True, slots=True)
class Restored:
    """A gateway that was put back: its settings file, and the manifest of the backup."""

    settings: Path
    manifest: BackupManifest


def back_up(settings_file: Path, out: Path, note: Note = lambda _: None) -> BackupManifest:
    """Write a backup of a gateway, which may go on running.

    Args:
        settings_file: the gateway's settings.
        out: the backup; it appears whole or not at all.
        note: told what is being done.

    Raises:
        SettingsError: the settings cannot be used.
        BackupError: `out` is there already, files are not where they can be told apart, or the database cannot be copied.
        AuditError: the audit log cannot be read, or was changed by the retention job meanwhile.
        WorkspaceError: the disk is full or not writable.
    """
    settings = load_settings(settings_file)
    _must_be_apart(settings_file, out, settings)
    # Logged before the log is copied, so that the backup tells of itself.
    kept = AuditLog(settings.audit_folder).append("records.exported", by="bedside backup", kinds=["database", "audit", "settings"])
    with disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            stage = Path(scratch)
            note("copying the database")
            databases = [_save_database(settings, stage)]
            note("copying settings and state")
            shutil.copyfile(settings_file, stage / SETTINGS)
            _copy_state(settings, stage / "state")
            left_out = tuple(_copy_named_files(settings, settings_file.parent, stage / "files"))
            note("copying and checking the audit log")
            audits = {"state/audit": _copy_audit(settings.audit_folder, stage / "state" / "audit", Head(kept.seq, kept.hash))}
            if settings.phone.data and settings.phone.data.is_dir():
                note("copying the phone line's records")
                _copy_line(settings.phone.data, stage / "phone", settings, databases, audits)
            note("packing")
            names = sorted(path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file())
            manifest = BackupManifest(
                bedside=__version__,
                made=datetime.now(UTC),
                databases=tuple(databases),
                audits=audits,
                left_out=left_out,
                files={name: StoredFile(sha256=sha256_file(stage / name), bytes=(stage / name).stat().st_size) for name in names},
            )
            _pack(stage, manifest, out)
    return manifest


def restore(archive: Path, folder: Path, note: Note = lambda _: None) -> Restored:
    """Put a gateway back into a folder that is not there or empty; all of the backup is checked first.

    State and database go where the backed-up settings say; relative paths start at `folder`.

    Raises:
        BackupError: the backup is damaged, or something is there already that would be overwritten.
        WorkspaceError: the disk is full or not writable.
    """
    _must_be_empty(folder)
    with disk_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            stage = Path(scratch)
            note("unpacking and checking")
            manifest = _unpack(archive, stage)
            tree = stage / "files"
            tree.mkdir(mode=0o700, exist_ok=True)
            (stage / SETTINGS).rename(tree / SETTINGS)
            settings = load_settings(tree / SETTINGS)
            _check_contents(stage, manifest)
            places = {"state": settings.state, "phone": settings.phone.data}
            moves = {stage / name: target for name, target in places.items() if target and (stage / name).is_dir()}
            url = database_url(settings.database_url)
            file = sqlite_file(url)
            for target in moves.values():
                _must_be_empty(target)
            if file and file.exists():
                raise BackupError(f"the database {str(file)!r} is there already", "Move it elsewhere first")
            note("putting everything in place")
            if (stage / POSTGRESQL).exists():
                load_postgresql(url, stage / POSTGRESQL)
            for source, target in moves.items():
                _move(source, target)
            if file and (stage / SQLITE).exists():
                _move(stage / SQLITE, file)
            tree.rename(folder)
    return Restored(folder / SETTINGS, manifest)


def _must_be_apart(settings_file: Path, out: Path, settings: GatewaySettings) -> None:
    if out.exists():
        raise BackupError(f"{str(out)!r} is there already", "Name another file with --out")
    for path in (settings_file, out):
        if path.resolve().is_relative_to(settings.state.resolve()):
            raise BackupError(f"{str(path)!r} lies in the state folder, which is backed up as a whole", "Put it elsewhere")
    owner = settings.state.stat().st_uid if settings.state.exists() else os.geteuid()
    if owner != os.geteuid():  # what another user writes into the log could not be written on by the gateway
        raise BackupError(
            f"the state folder {str(settings.state)!r} belongs to user {owner}", f"Type `sudo -u '#{owner}' bedside backup …`"
        )


def _save_database(settings: GatewaySettings, stage: Path) -> str:
    """Copy the database into the stage; returns the copy's name there."""
    url = database_url(settings.database_url)
    file = sqlite_file(url)
    if file is None:
        save_postgresql(url, stage / POSTGRESQL)
        return POSTGRESQL
    name = f"state/{file.relative_to(settings.state).as_posix()}" if file.is_relative_to(settings.state) else SQLITE
    (stage / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_sqlite(file, stage / name)
    return name


def _copy_state(settings: GatewaySettings, target: Path) -> None:
    line = [settings.phone.data] if settings.phone.data else []
    _copy_folder(settings.state, target, sqlite_file(database_url(settings.database_url)), (settings.audit_folder, *line))


def _copy_line(line: Path, target: Path, settings: GatewaySettings, databases: list[str], audits: dict[str, StoredAudit]) -> None:
    """Copy the phone line's folder; adds its audit log, and its database where the gateway does not use the same, to the lists."""
    database, audit, shared = line / "practice.sqlite", line / "audit", sqlite_file(database_url(settings.database_url))
    target.mkdir(mode=0o700)
    _copy_folder(line, target, database, (audit, line / _MADE_ANEW))
    if database.is_file() and not (shared and shared.resolve() == database.resolve()):
        save_sqlite(database, target / database.name)
        databases.append(f"{target.name}/{database.name}")
    if (audit / "key").exists():
        audits[f"{target.name}/audit"] = _copy_audit(audit, target / "audit", AuditLog(audit).head())


def _copy_folder(source: Path, target: Path, database: Path | None, leave: Collection[Path]) -> None:
    """Copy a folder without a database and audit logs, which are copied as what they are, and without files that are being written."""
    for path in sorted(source.rglob("*")):
        of_database = database is not None and path.name.startswith(database.name) and path.parent == database.parent
        hidden = path.name.startswith(".") and path.name.endswith(".partial")
        if path.is_file() and not of_database and not hidden and not any(path.is_relative_to(left) for left in leave):
            with suppress(FileNotFoundError):  # retention removed it meanwhile
                _copy(path, target / path.relative_to(source))


def _copy_named_files(settings: GatewaySettings, base: Path, target: Path) -> Iterator[str]:
    """Copy what the settings name beside them; yields what is elsewhere, missing, or too large to belong into a backup."""
    tls = settings.listen.tls
    named = [settings.practice, settings.protocol, settings.integrity.public_key, *((tls.certificate, tls.key) if tls else ())]
    for path in named:
        if path is None or path.is_relative_to(settings.state):
            continue
        if path.is_file() and path.is_relative_to(base):
            _copy(path, target / path.relative_to(base))
        else:
            yield f"{path} (missing)" if not path.is_file() else f"{path} (outside the settings' folder)"
    for release in dict.fromkeys(engine.release for engine in settings.engines if engine.release):
        yield f"{release} (release)"
    if settings.answers.index and not settings.answers.index.is_relative_to(settings.state):
        yield f"{settings.answers.index} (index of documents)"
    if (line := settings.phone.data) and (line / _MADE_ANEW).exists():
        yield f"{line / _MADE_ANEW} (made anew when the line starts)"


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(path, target)


def _copy_audit(folder: Path, target: Path, kept: Head) -> StoredAudit:
    """Copy an audit log that is being written, and check the copy.

    Files only grow. Seals first, then the days that are there by then, oldest first: so every seal in the copy is of a day that is whole in
    it, and only the newest day can end in the middle of a line, which is cut off when the copy is opened.
    """
    target.mkdir(parents=True, mode=0o700)
    try:
        for name in ("key", "seals.jsonl"):
            if (folder / name).exists():
                shutil.copyfile(folder / name, target / name)
        for day in sorted(folder.glob("????-??-??.jsonl")):
            shutil.copyfile(day, target / day.name)
    except FileNotFoundError as error:
        raise BackupError(
            f"{Path(error.filename).name!r} was removed by the retention job meanwhile", "Run the same command again"
        ) from error
    copy = AuditLog(target)
    copy.head()
    verified = copy.verify(kept)
    (target / "lock").unlink()
    return StoredAudit.of(verified)


def _pack(stage: Path, manifest: BackupManifest, out: Path) -> None:
    with written_whole(out) as partial:
        partial.unlink(missing_ok=True)
        with (
            os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive,
        ):
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=2))
            for name in manifest.files:
                archive.write(stage / name, name)


def _unpack(archive: Path, stage: Path) -> BackupManifest:
    """Take out what the manifest lists, no byte more of each file than it says."""
    name = repr(str(archive))
    try:
        with zipfile.ZipFile(archive) as packed:
            with packed.open(MANIFEST) as stream:
                manifest = BackupManifest.model_validate_json(stream.read(_LARGEST_MANIFEST))
            if strange := set(packed.namelist()) ^ {MANIFEST, *manifest.files}:
                raise BackupError(f"the backup {name} and its list do not agree on {min(strange)[:100]!r}", _AGAIN)
            if any(member.compress_type != zipfile.ZIP_DEFLATED for member in packed.infolist()):
                raise BackupError(f"the backup {name} was not packed by bedside", _AGAIN)
            _must_fit(stage, sum(entry.bytes for entry in manifest.files.values()))
            for file, entry in manifest.files.items():
                with packed.open(file) as stream:
                    if _written(stream, stage / file, entry.bytes) != entry.sha256:
                        raise BackupError(f"the backup {name} is damaged at {file!r}", _AGAIN)
    except FileNotFoundError as error:
        raise BackupError(f"there is no backup {name}", "Correct the path") from error
    except ValidationError as error:
        raise BackupError(f"the list of the backup {name} cannot be used ({error.errors()[0]['msg']})", _AGAIN) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BackupError(f"{name} is no whole backup ({type(error).__name__})", _AGAIN) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BackupError(f"{name} is no backup ({error.strerror})", _AGAIN) from error
    return manifest


def _written(stream: IO[bytes], target: Path, size: int) -> str:
    """Write so many bytes at most; returns the SHA-256 of what was read, one byte more where there is more."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, left = hashlib.sha256(), size + 1
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while chunk := stream.read(min(_CHUNK, left)):
            left -= len(chunk)
            digest.update(chunk)
            out.write(chunk)
    return digest.hexdigest()


def _must_fit(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise BackupError(f"the backup takes {size:,} bytes, and {free:,} are free under {str(folder.parent)!r}", "Free some space")


def _must_be_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(
            f"{str(folder)!r} is there already, and a restore overwrites nothing", "Name another folder, or move that one away"
        )


def _check_contents(stage: Path, manifest: BackupManifest) -> None:
    """Databases are readable to their last page, and audit logs are what they were when the backup was made."""
    if lacking := set(manifest.databases) - set(manifest.files):
        raise BackupError(f"the backup lacks its database {min(lacking)!r}", _AGAIN)
    for name in manifest.databases:
        if name != POSTGRESQL:
            check_sqlite(stage / name)
    for name, kept in manifest.audits.items():
        try:
            found = StoredAudit.of(AuditLog(stage / name).verify(Head(*kept.head)))
        except (KeyError, TypeError, ValueError) as error:
            raise BackupError(f"the audit log {name!r} in the backup cannot be read ({type(error).__name__})", _AGAIN) from error
        if found != kept:
            raise BackupError(f"the audit log {name!r} in the backup is not what it was ({found.broken or 'entries are missing'})", _AGAIN)


def _move(source: Path, target: Path) -> None:
    """Move a file or a folder to a place that is not there, or is an empty folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    shutil.move(source, target)
