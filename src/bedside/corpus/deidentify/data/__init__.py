"""Word lists and tables of de-identification, and how they are read."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

_FOLDER = files(__name__)


def read_yaml(name: str) -> Any:
    """The value of a YAML file of this folder."""
    return yaml.load((_FOLDER / name).read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_lines(name: str) -> list[str]:
    """The lines of a file of this folder, without comments and empty ones."""
    return [line for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def read_words(name: str) -> frozenset[str]:
    """The words of a file of this folder, parted by white space."""
    return frozenset(word for line in read_lines(name) for word in line.split())
