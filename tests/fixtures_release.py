"""A release folder whose files are what they say, for tests that read bytes and load no model."""

from __future__ import annotations

import random
from pathlib import Path

from bedside.release.build import FileEntry, Manifest
from bedside.workspace.files import sha256_file, write_json
from fixtures_contract import chatml

CONTRACT = chatml(256)


def make_release(folder: Path, size: int = 10_000) -> Path:
    """Write a release of which the model file has `size` random bytes; the folder."""
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(random.Random(0).randbytes(size))
    (folder / "README.md").write_text("# tiny\n", encoding="utf-8")
    CONTRACT.save(folder)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path) -> None:
    """Make the manifest say what the folder holds, as whoever forges a release would."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in ("manifest.json", "model.sig")]
    entries = {
        path.relative_to(folder).as_posix(): FileEntry(sha256=sha256_file(path), bytes=path.stat().st_size).model_dump() for path in files
    }
    manifest = Manifest(name="tiny", kind="F16", date="2026-11-23", bedside="0", contract=CONTRACT.hash, files={})
    write_json(folder / "manifest.json", {**manifest.model_dump(mode="json"), "files": entries})


def flip(path: Path, at: int = 0) -> None:
    """Change one bit of a file."""
    changed = bytearray(path.read_bytes())
    changed[at] ^= 1
    path.write_bytes(changed)
