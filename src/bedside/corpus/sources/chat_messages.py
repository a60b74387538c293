"""The two layouts of chats: JSON Lines, or a JSON array, of

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}

Roles are `system`, `user` or `human`, and `assistant` or `gpt`; a chat with any other (tool calls, for one) is filed as `unknown_role`.
Messages stay as they are, in their order. One family a chat.

Layouts: the messages of the OpenAI chat API (https://platform.openai.com/docs/guides/fine-tuning) and ShareGPT's export
(https://github.com/lm-sys/FastChat, docs of its training data).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bedside.corpus.conversation import Role
from bedside.corpus.sources.json_rows import json_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, RowError, field_of, list_field, parsed, text_field
from bedside.corpus.sources.registry import reader

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


@reader("chat_messages", layout="JSON Lines or a JSON array of objects with 'messages' (role, content) or 'conversations' (from, value)")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation a chat.

    Raises:
        OSError: the file cannot be opened or read.
    """
    return parsed(json_rows(path), _record)


def _record(row: Row) -> Record:
    name = "conversations" if isinstance(row.value, dict) and "conversations" in row.value else "messages"
    messages = tuple(_message(message) for message in list_field(row.value, name))
    if not messages:
        raise RowError("no_messages", f"{name!r} is an empty list")
    return Record(messages, row.where)


def _message(message: Any) -> tuple[Role, str]:
    said_by, said = ("from", "value") if isinstance(message, dict) and "from" in message else ("role", "content")
    role = field_of(message, said_by)
    if not isinstance(role, str) or role not in _ROLES:
        raise RowError("unknown_role", f"{said_by!r} is {str(role)[:20]!r}, none of {', '.join(_ROLES)}")
    return _ROLES[role], text_field(message, said)
