"""The reader's own data files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def content(file: str) -> dict[str, Any]:
    """A YAML file that stands beside the readers."""
    text = files("bedside.reports.readers").joinpath(file).read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded
