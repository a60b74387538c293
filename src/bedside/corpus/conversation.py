"""The one record of the corpus: a conversation, where it comes from, and what it is labelled with."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One thing said.

    Attributes:
        role: who said it.
        content: the words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Role
    content: str = Field(min_length=1)


class Provenance(BaseModel):
    """Where a conversation comes from.

    Attributes:
        source: the source's name in the recipe.
        where: file and line, or the generator's template.
        licence: SPDX identifier, or the source's own words.
        locale: BCP 47 tag of the wording (`en-AU`, `en`).
        family: conversations of one family (one template, one dialogue) stand on the same side of every split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    where: str
    licence: str = "unknown"
    locale: str = "en"
    family: str


class Conversation(BaseModel):
    """Messages with roles, provenance and labels.

    Attributes:
        messages: in order, at least one.
        provenance: where it comes from.
        labels: gold facts about it, such as `understanding` (intents and slots of the last user turn), `answer` or `topic`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    messages: tuple[Message, ...] = Field(min_length=1)
    provenance: Provenance
    labels: dict[str, Any] = Field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 of the roles and words alone: equal conversations have equal hashes whatever their source."""
        return hashlib.sha256(json.dumps([(m.role, m.content) for m in self.messages], ensure_ascii=False).encode()).hexdigest()
