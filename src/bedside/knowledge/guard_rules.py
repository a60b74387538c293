"""What generated sentences may not say: the rules of `guard.yaml` and the words of `guard_words.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, field_validator

from bedside.knowledge.facts import Fact, built_in


class GuardRule(Fact):
    """One rule; the fields are explained at the top of `guard.yaml`."""

    forbids: str
    says: str
    unless: tuple[str, ...]
    patterns: tuple[str, ...]


class GuardWords(BaseModel):
    """The words that rules are made of; the fields are explained at the top of `guard_words.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    about: str
    source: str
    contractions: dict[str, str]
    breaks: tuple[str, ...]
    gaps: dict[Literal["plain", "narrow"], tuple[str, ...]]
    shields: dict[str, tuple[str, ...]]
    classes: dict[str, tuple[str, ...]]

    @field_validator("classes", mode="before")
    @classmethod
    def _phrases(cls, classes: dict[str, str]) -> dict[str, list[str]]:
        return {name: list(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases.split(","))) for name, phrases in classes.items()}


@cache
def guard_rules() -> tuple[GuardRule, ...]:
    """The built-in rules."""
    return built_in(GuardRule, "guard.yaml")


@cache
def guard_words() -> GuardWords:
    """The built-in words."""
    text = files("bedside.knowledge").joinpath("guard_words.yaml").read_text(encoding="utf-8")
    return GuardWords.model_validate(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
