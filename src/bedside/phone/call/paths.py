"""Which way each intent goes, from `paths.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field


class Path(BaseModel):
    """One intent's way; the fields are explained at the top of `paths.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    script: str
    said: str
    rank: int
    to: Literal["reception", "nurse"] = "reception"
    prompt: str = "call.handoff"
    done: str = ""
    needs: dict[str, str] = Field(default_factory=dict, max_length=2)
    alone: bool = False
    then: Literal["more", "listen", "hang_up"] = "more"


@cache
def paths() -> dict[str, Path]:
    """Every intent's way."""
    rows = yaml.safe_load(files(__package__).joinpath("paths.yaml").read_text(encoding="utf-8"))
    return {intent: Path.model_validate(row) for intent, row in rows.items()}


def path_of(intent: str) -> Path:
    """The way of one intent; KeyError where the catalogue has no such intent."""
    return paths()[intent]
