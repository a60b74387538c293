"""Sentences that the phone line says beside the approved texts, from `prompts.yaml`."""

from __future__ import annotations

import re
from functools import cache, cached_property
from string import Formatter

from pydantic import model_validator

from bedside.knowledge.facts import Fact, built_in

_HELPLINE_PARTS = ("number", "name")


class Prompt(Fact):
    """One sentence; the fields are explained at the top of `prompts.yaml`."""

    text: str
    personal: bool = False
    must_hear: bool = False

    @cached_property
    def places(self) -> tuple[tuple[str, str, str], ...]:
        """The text in pieces: plain words, then the place that follows them as its name and the part after its dot (both may be empty)."""
        pieces = ((words, name or "") for words, name, _, _ in Formatter().parse(self.text))
        return tuple((words, *name.partition(".")[::2]) for words, name in pieces)

    @cached_property
    def slots(self) -> frozenset[str]:
        """Names of the places that the line fills: neither the practice's name nor a helpline."""
        return frozenset(name for _, name, part in self.places if name and not part and name != "practice")

    @model_validator(mode="after")
    def _numbers_from_tables(self) -> Prompt:
        if any(part and part not in _HELPLINE_PARTS for _, _, part in self.places):
            raise ValueError(f"a helpline has {' and '.join(_HELPLINE_PARTS)}, nothing else")
        if any(re.search(r"\d[\s-]?\d", words) for words, _, _ in self.places):
            raise ValueError("numbers of several digits come from tables, never from a sentence")
        return self


@cache
def prompts() -> dict[str, Prompt]:
    """All prompts by id."""
    return {fact.id: fact for fact in built_in(Prompt, "prompts.yaml")}
