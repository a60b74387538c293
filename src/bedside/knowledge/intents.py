"""The catalogue of what callers can want: intents and slots, from `intents.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field


class IntentKind(BaseModel):
    """One intent; the fields are explained at the top of `intents.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    id: str
    codes: tuple[str, ...]
    self_service: str = Field(alias="self")
    prior: float
    slots: tuple[str, ...]
    meaning: str = Field(alias="is")
    border: str = Field(alias="not")


class SlotKind(BaseModel):
    """One slot: its name, code words and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    id: str
    codes: tuple[str, ...]
    meaning: str = Field(alias="is")


class Catalogue(BaseModel):
    """All intents and slots, with their source and the rules of labelling."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    certainty: str
    rules: tuple[str, ...]
    intents: tuple[IntentKind, ...]
    slots: tuple[SlotKind, ...]

    def intent(self, name: str) -> IntentKind:
        """The intent of that id; KeyError where there is none."""
        return _by_id()[name]


@cache
def catalogue() -> Catalogue:
    """The built-in catalogue."""
    return Catalogue.model_validate(yaml.safe_load(files("bedside.knowledge").joinpath("intents.yaml").read_text(encoding="utf-8")))


@cache
def _by_id() -> dict[str, IntentKind]:
    return {kind.id: kind for kind in catalogue().intents}
