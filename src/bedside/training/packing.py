"""Packing without cross-contamination: many rows in one sequence, attention inside each row only.

Rows of like length are laid end to end in blocks of about `tokens` tokens. Linear layers see no padding at all. In a small block attention
runs with a mask over bands of tokens, each band looking at itself and the one before it, or over the whole block where a row is longer than
a band: blocks have two shapes, for which a layer can be compiled. In a larger block it runs on the rows laid out as a small batch, so its
cost grows with the rows' lengths and not with the block's. Position ids start at 0 in each row. A test holds that the loss of a packed block
equals that of its rows one by one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

ATTENTION = "bedside_segments"
IGNORE = -100
BANDED = 512
"""Tokens of a block up to which attention runs in bands or over the whole block."""
_BAND = 96
"""Tokens of a band; a block of callers' turns is seldom longer than one, and products of this width fill the processor's tiles."""


@dataclass(frozen=True)
class Row:
    """One tokenised training row.

    Attributes:
        input_ids: the whole conversation.
        labels: `input_ids` where the model is taught, -100 elsewhere.
    """

    input_ids: list[int]
    labels: list[int]


def pack(lengths: Sequence[int], tokens: int, *, seed: int, window: int = 16) -> list[list[int]]:
    """Group rows, by index, into blocks of at most `tokens` tokens, in a seeded random order.

    Rows are shuffled, then sorted by length inside windows of about `window` blocks, so that the rows of a block are alike in length and
    the blocks of an epoch are not. A row longer than `tokens` gets a block of its own.
    """
    rng = random.Random(seed)
    order = rng.sample(range(len(lengths)), len(lengths))
    per_window = max(1, window * tokens * len(lengths) // max(1, sum(lengths)))
    blocks: list[list[int]] = []
    for start in range(0, len(order), per_window):
        used = tokens + 1
        for index in sorted(order[start : start + per_window], key=lengths.__getitem__):
            if used + lengths[index] > tokens:
                blocks.append([])
                used = 0
            blocks[-1].append(index)
            used += lengths[index]
    rng.shuffle(blocks)
    return blocks


def collate(rows: Sequence[Row], tokens: int, pad_id: int) -> dict[str, Tensor]:
    """One packed block as tensors: `input_ids`, `labels`, `position_ids` of shape [1, tokens] and the gather index of its rows.

    Every block is filled up to `tokens` with rows of padding, and its rows' length to a multiple of 16: processors compile their matrix
    kernels anew for every shape, which costs more time and memory than the few tokens of padding.

    `segments` of a block of up to 512 tokens: [bands, band, keys], true where a token may not look; `keys` are the tokens of the band before
    and of its own, or of the whole block. Of a larger one: [rows, longest], each row's token places in the block, -1 where a row is shorter.
    """
    lengths = [len(row.input_ids) for row in rows]
    longest = _rounded(max(lengths), 16)
    filling = max(tokens, _rounded(sum(lengths), 128)) - sum(lengths)
    lengths += [longest] * (filling // longest) + ([filling % longest] if filling % longest else [])
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row.input_ids] + [pad_id] * filling]),
        "labels": torch.tensor([[label for row in rows for label in (IGNORE, *row.labels[1:])] + [IGNORE] * filling]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "segments": _hidden(lengths) if sum(lengths) <= BANDED else _places(lengths, longest),
    }


def _hidden(lengths: Sequence[int]) -> Tensor:
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    tokens = len(rows)
    hidden = (rows[:, None] != rows) | torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    # The first token that a token looks at is at most a row's length, less itself, before it.
    if tokens % _BAND or max(lengths) > _BAND + 1:
        return hidden[None]
    before = nn.functional.pad(hidden, (_BAND, 0), value=True)
    return torch.stack([before[start : start + _BAND, start : start + 2 * _BAND] for start in range(0, tokens, _BAND)])


def _places(lengths: Sequence[int], longest: int) -> Tensor:
    places = torch.full((len(lengths), longest), -1)
    start = 0
    for number, length in enumerate(lengths):
        places[number, :length] = torch.arange(start, start + length)
        start += length
    return places


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    segments: Tensor,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each segment of a packed block.

    Plain matrix products instead of the fused kernel: PyTorch's fused attention has a slow backward pass on processors, 17 ms a layer
    for 32 rows of 32 tokens where the products take 3.

    Args:
        query: [1, heads, tokens, size]; `key` and `value` may have fewer heads (grouped-query attention).
        segments: see `collate`.

    Returns:
        [1, tokens, heads, size] and no weights, as transformers expects of an attention function.
    """
    rate = dropout if module.training else 0.0
    if segments.dtype is torch.bool:
        return _attend_in_bands(query * scaling, key, value, segments, rate).transpose(1, 2), None
    rows, longest = segments.shape
    index = segments.clamp(min=0)
    q, k, v = (_by_row(t, index) for t in (query * scaling, key, value))
    hidden = torch.ones(longest, longest, dtype=torch.bool, device=query.device).triu(1)
    out = _attend(q, k, v, hidden, rate)
    present = (segments >= 0).flatten().nonzero().flatten()
    flat = nn.functional.embedding(present, out.transpose(1, 2).reshape(rows * longest, -1))
    return flat.view(1, len(present), query.shape[1], -1), None


def _attend_in_bands(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, dropout: float) -> Tensor:
    """Attention of a block, [1, heads, tokens, size] each, with `hidden` of `collate`: the bands are attended to as rows of a batch."""
    bands = len(hidden)
    queries, around, values = (_bands(t, bands) for t in (query, key, value))
    if bands > 1:
        around, values = (torch.cat((nn.functional.pad(t, (0, 0, 0, 0, 0, 0, 1, 0))[:-1], t), dim=2) for t in (around, values))
    return _attend(queries, around, values, hidden[:, None, None], dropout).transpose(0, 1).reshape(query.shape)


def _bands(heads: Tensor, bands: int) -> Tensor:
    """[1, heads, tokens, size] → [bands, heads, band, size]."""
    _, number, tokens, size = heads.shape
    return heads[0].view(number, bands, tokens // bands, size).transpose(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, dropout: float) -> Tensor:
    """Attention of rows, [rows, heads, length, size] each, keys and values of any length of their own; `hidden` is true where none may look."""
    rows, heads, length, size = query.shape
    # Query heads that share a key head stand below each other, so that keys are never copied.
    groups = heads // key.shape[1]
    scores = (query.reshape(rows, -1, groups * length, size) @ key.transpose(-1, -2)).view(rows, -1, groups, length, key.shape[2])
    weights = nn.functional.dropout(scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1), dropout)
    return (weights.flatten(2, 3) @ value).reshape(rows, heads, length, size)


def _by_row(heads: Tensor, index: Tensor) -> Tensor:
    """[1, heads, tokens, size] → [rows, heads, longest, size]. An embedding look-up: its backward pass adds rows, which is fast."""
    _, number, tokens, size = heads.shape
    flat = heads[0].transpose(0, 1).reshape(tokens, number * size)
    return nn.functional.embedding(index, flat).view(*index.shape, number, size).transpose(1, 2)


AttentionInterface.register(ATTENTION, segment_attention)
