"""Conversations to training rows: token ids, and labels on the assistant's words and their stop token only."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast

from bedside.corpus.conversation import Conversation
from bedside.engine.contract import ChatContract
from bedside.errors import TrainingError
from bedside.training.packing import IGNORE, Row
from bedside.workspace.ledger import DropLedger


def make_rows(
    conversations: Iterable[Conversation],
    contract: ChatContract,
    tokenizer: PreTrainedTokenizerFast,
    ledger: DropLedger,
    *,
    max_long_share: float,
) -> list[Row]:
    """Tokenise conversations under the contract.

    A row over `contract.max_length` is dropped into the ledger, never cut: half an answer teaches to stop early.

    Raises:
        TrainingError: more than `max_long_share` of the rows are too long, or nothing is left to teach.
    """
    rows, seen, long = [], 0, 0
    for conversation in conversations:
        seen += 1
        row = make_row(conversation, contract, tokenizer)
        source, where = conversation.provenance.source, conversation.provenance.where
        if len(row.input_ids) > contract.max_length:
            long += 1
            ledger.add(
                "tokenise",
                "dropped",
                "too_long",
                source=source,
                where=where,
                detail=f"{len(row.input_ids)} tokens, allowed {contract.max_length}",
            )
        elif not any(label == contract.eos_id for label in row.labels):
            ledger.add(
                "tokenise", "dropped", "nothing_taught", source=source, where=where, detail="no supervised answer with its stop token"
            )
        else:
            rows.append(row)
    if seen and long / seen > max_long_share:
        raise TrainingError(
            f"{long} of {seen} rows ({long / seen:.0%}) are longer than training.max_length {contract.max_length}",
            "Raise training.max_length or training.max_long_share",
        )
    if not rows:
        raise TrainingError(f"none of {seen} conversations teaches anything", "Check that they hold assistant messages")
    return rows


def make_row(conversation: Conversation, contract: ChatContract, tokenizer: PreTrainedTokenizerFast) -> Row:
    """One row; each assistant message is taught up to and with the stop token."""
    messages = [m.model_dump() for m in conversation.messages]
    spans, end = [], 0
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            start = len(contract.render(messages[:number]))
            end = contract.render(messages[: number + 1], add_generation_prompt=False).rindex(contract.eos_token) + len(contract.eos_token)
            spans.append((start, end))
    text = contract.render(messages, add_generation_prompt=False)[:end]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoded["input_ids"]
    labels = [
        token if any(start <= a and b <= stop and a < b for start, stop in spans) else IGNORE
        for token, (a, b) in zip(ids, encoded["offset_mapping"], strict=True)
    ]
    if contract.adds_bos and contract.bos_id is not None:
        ids, labels = [contract.bos_id, *ids], [IGNORE, *labels]
    return Row(ids, labels)
