"""What is done with each record by itself: standardised, de-identified, looked through for what must not be taught, and sketched.

`Cleaning` is one batch function over lines of JSON, so that it travels to processes of this machine and to Ray Data alike.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pyarrow as pa

from bedside.corpus.conversation import Conversation
from bedside.corpus.deidentify import Surrogates
from bedside.corpus.deidentify.files import STAGE as DEIDENTIFY
from bedside.corpus.deidentify.files import Settings, deidentify_text
from bedside.corpus.duplicates import parts, sketch
from bedside.corpus.shards import pack
from bedside.corpus.standardise import standardise_conversation
from bedside.corpus.unsafe import Finding, check_conversation
from bedside.workspace.ledger import DropLedger, Entry

LONGEST = 200_000
"""Characters of a record: about 50,000 tokens, more than is ever taught at once."""


@dataclass(frozen=True)
class Cleaned:
    """A batch after cleaning.

    Attributes:
        table: the conversations that go on with their sketches, see `shards.pack`.
        review: what a clinician has to see first, as JSON: source, where, what was found, and the messages.
        entries: everything that was dropped, changed, masked or sent to review.
    """

    table: pa.Table
    review: list[str]
    entries: list[Entry]


@dataclass(frozen=True)
class Cleaning:
    """How records are cleaned.

    Attributes:
        standardise: see `corpus.standardise` of a recipe.
        deidentify: what stands in for what tells who somebody is.
        seed: of the surrogates.
        day: whose tables and rules an answer is held against.
    """

    standardise: bool
    deidentify: Literal["off", "redact", "surrogates"]
    seed: int
    day: date

    def __call__(self, lines: Sequence[str]) -> Cleaned:
        """Clean a batch of conversations, each a line of JSON."""
        ledger = DropLedger()
        kept: list[Conversation] = []
        review: list[str] = []
        for line in lines:
            conversation: Conversation | None = _of_usable_length(Conversation.model_validate_json(line), ledger)
            if self.standardise and conversation:
                conversation = standardise_conversation(conversation, ledger)
            if self.deidentify != "off" and conversation:
                conversation = deidentified(conversation, Settings(self.deidentify, self.seed), ledger)
            if conversation is None:
                continue
            findings = check_conversation(conversation, ledger, day=self.day)
            if not findings:
                kept.append(conversation)
            elif all(finding.action == "review" for finding in findings):
                review.append(_for_review(conversation, findings))
        return Cleaned(pack(kept, sketch([parts(c) for c in kept])), review, ledger.entries)


def _of_usable_length(conversation: Conversation, ledger: DropLedger) -> Conversation | None:
    length = sum(len(message.content) for message in conversation.messages)
    if length <= LONGEST:
        return conversation
    origin = conversation.provenance
    detail = f"{length:,} characters, the most are {LONGEST:,}"
    ledger.add("clean", "dropped", "too_long", source=origin.source, where=origin.where, detail=detail)
    return None


def _for_review(conversation: Conversation, findings: Iterable[Finding]) -> str:
    origin = conversation.provenance
    row = {
        "source": origin.source,
        "where": origin.where,
        "found": [{"rule": finding.rule, "words": finding.words} for finding in findings],
        "messages": [message.model_dump() for message in conversation.messages],
    }
    return json.dumps(row, ensure_ascii=False)


def deidentified(conversation: Conversation, settings: Settings, ledger: DropLedger) -> Conversation:
    """The conversation with names and identifiers replaced, in its labels too; one person keeps one surrogate in all of it."""
    where = conversation.provenance.where
    record = Surrogates(settings.seed, where)
    masked: Counter[str] = Counter()

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            text, spans = deidentify_text(value, settings, record)
            masked.update(span.type for span in spans)
            return text
        if isinstance(value, dict):
            return {key: clean(one) for key, one in value.items()}
        return [clean(one) for one in value] if isinstance(value, list | tuple) else value

    messages = tuple(m.model_copy(update={"content": clean(m.content)}) for m in conversation.messages)
    labels = clean(conversation.labels)
    for kind, number in masked.items():
        ledger.add(DEIDENTIFY, "masked", kind, source=conversation.provenance.source, where=where, detail=f"{number} places")
    # A family may be made of the record's words.
    family = hashlib.sha256(conversation.provenance.family.encode()).hexdigest()[:16]
    provenance = conversation.provenance.model_copy(update={"family": family})
    return Conversation(messages=messages, provenance=provenance, labels=labels)
