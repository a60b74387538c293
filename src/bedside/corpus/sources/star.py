"""STAR: JSON Lines, one dialogue an object, with `dialogue_id`, `tasks` and `events`.

    {"Agent": "User", "Action": "utter", "Text": "…"}                     said by the caller
    {"Agent": "Wizard", "Action": "utter", "Text": "…"}                   said by the assistant in its own words
    {"Agent": "Wizard", "Action": "pick_suggestion", "Text": "…"}         said by the assistant from a template
    {"Agent": "Wizard", "Action": "query", "Constraints": [{"Day": "\\"Friday\\""}]}     what it asked the knowledge base

Everything else was not said to the caller (drafts for which suggestions were requested, instructions of the UserGuide, answers of the
knowledge base) and is left out. Turns of one speaker that follow each other become one message. Labels: `tasks`, the names; `queries`,
the constraints of each query as they stand. One family a dialogue; one without an utterance is filed as `no_messages`.

Layout: https://github.com/RasaHQ/STAR, its dialogues one a line with the scenario's fields beside the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from bedside.corpus.conversation import Role
from bedside.corpus.sources.json_rows import json_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, RowError, field_of, list_field, parsed, text_field, words
from bedside.corpus.sources.registry import reader

_SPEAKERS: dict[tuple[str, str], Role] = {
    ("User", "utter"): "user",
    ("Wizard", "utter"): "assistant",
    ("Wizard", "pick_suggestion"): "assistant",
}


@reader("star", layout="JSON Lines of objects with 'dialogue_id', 'tasks' and 'events' (Agent, Action, Text)")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation a dialogue.

    Raises:
        OSError: the file cannot be opened or read.
    """
    return parsed(json_rows(path), _record)


def _record(row: Row) -> Record:
    events = [(_actor(event), event) for event in list_field(row.value, "events")]
    turns = [(_SPEAKERS[actor], text_field(event, "Text")) for actor, event in events if actor in _SPEAKERS]
    if not turns:
        raise RowError("no_messages", f"no utterance among {len(events)} events")
    queries = [list_field(event, "Constraints") for actor, event in events if actor == ("Wizard", "query")]
    tasks = [words(task, "tasks") for task in list_field(row.value, "tasks")]
    family = f"star:{field_of(row.value, 'dialogue_id')}"
    return Record(_merged(turns), row.where, family, {"tasks": tasks, "queries": queries})


def _actor(event: Any) -> tuple[str, str]:
    return text_field(event, "Agent"), text_field(event, "Action")


def _merged(turns: list[tuple[Role, str]]) -> tuple[tuple[Role, str], ...]:
    return tuple((role, "\n".join(said for _, said in group)) for role, group in groupby(turns, key=itemgetter(0)))
