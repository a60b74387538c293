"""Files that appear whole, and only once the disk has them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from bedside.workspace.files import disk_errors

_TOGETHER = 8
"""Waits for the disk at one time: a file system answers many of them with one write of its journal."""


class Files:
    """Files that appear together: a context manager that gives them their names at its end, and none of them after an exception.

    Raises:
        WorkspaceError: the disk is full or not writable.
    """

    def __init__(self) -> None:
        self._partials: dict[Path, Path] = {}

    def write(self, path: Path, content: str | bytes) -> None:
        """Write a file under a temporary name beside its own; its last content counts."""
        partial = self._partials[path] = path.with_name(f".{path.name}.partial")
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content.encode() if isinstance(content, str) else content)

    def __enter__(self) -> Files:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._appear()
        finally:
            for partial in self._partials.values():
                partial.unlink(missing_ok=True)

    def _appear(self) -> None:
        for folder in {path.parent for path in self._partials}:
            files = {path: partial for path, partial in self._partials.items() if path.parent == folder}
            with disk_errors(folder):
                with ThreadPoolExecutor(_TOGETHER) as pool:
                    list(pool.map(_sync, files.values()))
                for path, partial in files.items():
                    partial.replace(path)
                _sync(folder)


def write_durably(path: Path, content: str | bytes) -> None:
    """Write one file whole, and wait until the disk has it.

    Raises:
        WorkspaceError: the disk is full or not writable.
    """
    with Files() as files:
        files.write(path, content)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
