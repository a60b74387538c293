"""Run folders: one folder a recipe, one sub-folder a stage, each with a manifest of all that it read and wrote.

    runs/clinic-line/
        corpus/ manifest.json …
        train/ …
        evaluate/ …
        release/ …

A stage is skipped when its settings, everything it reads and the code's version hash to the fingerprint in its manifest and its files are
still what they were. The manifest is written last: a folder without one is unfinished and is taken up again or made anew.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bedside
from bedside.errors import WorkspaceError
from bedside.workspace.files import disk_errors, sha256_json, sha256_path, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class StageResult:
    """A finished stage.

    Attributes:
        folder: its files.
        skipped: True when nothing it reads had changed.
        seconds: how long it took, when it last ran.
        facts: what the stage reported about itself.
    """

    folder: Path
    skipped: bool
    seconds: float
    facts: dict[str, Any]


class Run:
    """One run folder.

    Args:
        folder: made when it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(self, name: str, work: Callable[[Path], Mapping[str, Any]], *, settings: Any, reads: Mapping[str, Path | str]) -> StageResult:
        """Run a stage, or skip it when nothing has changed.

        Args:
            name: the sub-folder.
            work: writes into the folder it is given and returns facts for the manifest. It is given the same unfinished folder again after
                a kill, and may resume from what it finds there.
            settings: JSON value of everything in the recipe that the stage depends on.
            reads: name → file or folder, or a hash that stands for one.

        Raises:
            WorkspaceError: a folder that it reads is missing, or the disk is full.
        """
        folder, unfinished = self.folder / name, self.folder / f".{name}.unfinished"
        hashes = {key: value if isinstance(value, str) else _hash(value) for key, value in reads.items()}
        fingerprint = sha256_json({"stage": name, "settings": settings, "reads": hashes, "version": bedside.__version__})
        if (old := _manifest(folder)) and old["fingerprint"] == fingerprint and old["wrote"] == _wrote(folder):
            return StageResult(folder, True, old["seconds"], old["facts"])
        with disk_errors(self.folder):
            if (unfinished / "fingerprint").is_file() and (unfinished / "fingerprint").read_text() != fingerprint:
                shutil.rmtree(unfinished)
            unfinished.mkdir(parents=True, exist_ok=True)
            (unfinished / "fingerprint").write_text(fingerprint)
            start = time.perf_counter()
            facts = dict(work(unfinished))
            seconds = round(time.perf_counter() - start, 2)
            (unfinished / "fingerprint").unlink()
            manifest = {
                "stage": name,
                "fingerprint": fingerprint,
                "settings": settings,
                "reads": hashes,
                "wrote": _wrote(unfinished),
                "facts": facts,
                "seconds": seconds,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "bedside": bedside.__version__,
            }
            write_json(unfinished / MANIFEST, manifest)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        return StageResult(folder, False, seconds, facts)

    def lineage(self) -> list[dict[str, Any]]:
        """The manifests of all finished stages, oldest first.

        Raises:
            WorkspaceError: the folder is no run.
        """
        manifests = [m for f in sorted(self.folder.glob("*")) if (m := _manifest(f))] if self.folder.is_dir() else []
        if not manifests:
            raise WorkspaceError(
                f"{str(self.folder)!r} holds no finished stage", "Give a run folder such as runs/clinic-line, or run `bedside run RECIPE`"
            )
        return sorted(manifests, key=lambda m: str(m["finished"]))


def _hash(path: Path) -> str:
    if not path.exists():
        raise WorkspaceError(f"{str(path)!r} is missing", "Run `bedside run` for the whole recipe; it makes what is missing")
    return sha256_path(path)


def _wrote(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return {p.relative_to(folder).as_posix(): sha256_path(p) for p in files}


def _manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return (
        manifest
        if isinstance(manifest, dict) and {"fingerprint", "wrote", "facts", "seconds", "finished", "stage"} <= manifest.keys()
        else None
    )
