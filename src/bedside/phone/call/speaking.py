"""Sentences of the line, filled: prompts and approved texts by id. Nothing else is ever said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from bedside.errors import KnowledgeError
from bedside.knowledge.facts import read_facts
from bedside.knowledge.prompts import Prompt, prompts
from bedside.phone.call.events import Say
from bedside.phone.practice import Practice
from bedside.safety.approved import Tables, tables
from bedside.safety.numbers import aloud

_MUST_HEAR = ("say.e", "urgent.", "first_aid.", "greeting")
"""Approved texts that the caller's voice does not stop begin like this."""


@cache
def sentences() -> dict[str, Prompt]:
    """The line's own sentences by id: those of the knowledge, and those about numbers."""
    numbers = files(__package__).joinpath("numbers.yaml").read_text(encoding="utf-8")
    return prompts() | {prompt.id: prompt for prompt in read_facts(Prompt, numbers, "numbers.yaml")}


def say(practice: Practice, day: dt.date, prompt: str, slots: Mapping[str, str]) -> Say:
    """A prompt or approved text, for the voice.

    Args:
        practice: its name, fees and own texts are used.
        day: nothing is taken from facts that do not hold on it.
        prompt: id of one of `sentences`, or of an approved text.
        slots: what its places are filled with.

    Raises:
        KnowledgeError: no such sentence, a slot too many or too few, or a number that is not confirmed.
    """
    filled = tables(day, practice.protocol_on(day))
    found = sentences().get(prompt)
    if found is None:
        return Say(prompt, slots, filled.say(prompt, "speech", **slots), must_hear=prompt.startswith(_MUST_HEAR))
    if set(slots) != found.slots:
        raise KnowledgeError(f"the prompt {prompt} was given the slots {sorted(slots)}", f"It takes {sorted(found.slots)}")
    text = "".join(words + _fill(practice, found, filled, slots, name, part) for words, name, part in found.places)
    return Say(prompt, slots, text[:1].upper() + text[1:], found.must_hear, found.personal)


def _fill(practice: Practice, prompt: Prompt, filled: Tables, slots: Mapping[str, str], name: str, part: str) -> str:
    if not part:
        return practice.name if name == "practice" else slots.get(name, "")
    line = filled.helplines.get(name)
    if line is None or (part == "number" and line.number is None):
        raise KnowledgeError(f"the prompt {prompt.id} needs the helpline {name!r}, which has no confirmed number today", "Choose another")
    return line.name if part == "name" else line.spoken or aloud(line.number or "")
