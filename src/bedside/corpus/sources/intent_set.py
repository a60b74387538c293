"""Sets of utterances with their intents.

CLINC's layout is a JSON object of splits, each a list of pairs: `{"train": [["is my flight on time", "flight_status"], …], "val": …}`.
The other layout is CSV with the columns `text` and `intent`, and `split` where there is one.

One user message an utterance. Labels: `intent`, and `split` where the source names it. One family an utterance: its text in one case
with single spaces, so that the same words in two splits or two sources stay together.

Layout: https://github.com/clinc/oos-eval (data_full.json and its siblings).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bedside.corpus.sources.csv_rows import csv_rows
from bedside.corpus.sources.json_rows import keyed_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, RowError, normalised, parsed, text_field, words
from bedside.corpus.sources.registry import reader


@reader("intent_set", layout="a JSON object of splits with [text, intent] pairs, or a CSV file with the columns text and intent")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation an utterance; a name that ends in `.json` is read as JSON, any other as CSV.

    Raises:
        SourceError: a column is missing, or the JSON is no object or cut off.
        OSError: the file cannot be opened or read.
    """
    if path.suffix.lower() == ".json":
        return parsed(keyed_rows(path, depth=2), _pair)
    return parsed(csv_rows(path, ("text", "intent")), _named)


def _pair(row: Row) -> Record:
    if not isinstance(row.value, list) or len(row.value) != 2:
        raise RowError("not_a_pair", f"a {type(row.value).__name__} where [text, intent] was expected")
    return _record(row, words(row.value[0], "text"), words(row.value[1], "intent"), words(" ".join(row.keys), "split"))


def _named(row: Row) -> Record:
    return _record(row, text_field(row.value, "text"), text_field(row.value, "intent"), row.value.get("split", "").strip())


def _record(row: Row, text: str, intent: str, split: str) -> Record:
    labels = {"intent": intent} | ({"split": split} if split else {})
    return Record((("user", text),), row.where, normalised(text), labels)
