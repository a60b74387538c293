"""A turn made ready for the readers: lower case, no look-alike letters, spoken numbers as digits."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from bedside.safety.spoken import written
from bedside.safety.text import fold

LONGEST = 2000
"""Letters that are read of one turn; nobody answers a question in more."""
_O_CLOCK = re.compile(r"\bo\W?clock\b")
_MARKS = re.compile(r"[^\w\s:/.,'+-]|(?<!\d)[.,:](?!\d)|[.,:](?=\s|$)")


def plain(text: str) -> str:
    """`text` folded, with numbers written out and marks that only part words removed."""
    folded, _ = fold(text[:LONGEST])
    return " ".join(_MARKS.sub(" ", written(_O_CLOCK.sub("oclock", folded)).text).split())


def folded(text: str) -> str:
    """`text` folded, without marks, spoken numbers left as they were said."""
    letters, _ = fold(text[:LONGEST])
    return " ".join(_MARKS.sub(" ", letters).replace(",", " ").split())


@cache
def table(name: str) -> Any:
    """The value of a YAML file of this folder."""
    return yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def phrases(name: str, key: str) -> re.Pattern[str]:
    """Any of the phrases that the file `name` lists under `key`, as whole words, the longest first."""
    listed = sorted(table(name)[key], key=len, reverse=True)
    return re.compile(rf"(?<![\w'])(?:{'|'.join(map(re.escape, listed))})(?![\w'])")
