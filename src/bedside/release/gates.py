"""Gates between the trained model and the file that ships. A gate that fails raises and nothing is released.

Greedy parity is exact: merging in float32 leaves the same choice wherever two candidates do not tie. Compare models that compute in float32;
in bf16 many logits are equal after rounding, and which of two equal ones is taken says nothing about the merge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bedside.engine.contract import ChatContract, ChatMessage
from bedside.errors import ReleaseError

MIN_CONVERSATIONS = 50
"""Fewer golden conversations prove too little."""

Tokenise = Callable[[str], list[int]]
Continue = Callable[[list[int]], list[int]]


@dataclass(frozen=True)
class GateResult:
    """A gate that was passed.

    Attributes:
        gate: `token parity`, `greedy parity` or `score loss`.
        checked: how many conversations, prompts or scores were compared.
        detail: one line for the model card.
    """

    gate: str
    checked: int
    detail: str


def check_token_parity(
    conversations: Sequence[Sequence[ChatMessage]], contract: ChatContract, tokenizer: Tokenise, engine_tokenize: Tokenise
) -> GateResult:
    """Training and engine turn the same conversations into the same token ids.

    A conversation that does not end with the assistant is rendered with the generation prompt.

    Args:
        conversations: at least `MIN_CONVERSATIONS`.
        contract: renders them.
        tokenizer: ids of a rendered text as training saw them, including a BOS where `adds_bos` has the engine add one.
        engine_tokenize: ids of a rendered text in the engine.

    Raises:
        ReleaseError: too few conversations, or one that differs.
    """
    if len(conversations) < MIN_CONVERSATIONS:
        raise ReleaseError(
            f"token parity needs {MIN_CONVERSATIONS} golden conversations, not {len(conversations)}", "Take more from the held-out split"
        )
    total = 0
    for number, conversation in enumerate(conversations):
        text = contract.render(conversation, add_generation_prompt=conversation[-1]["role"] != "assistant")
        trained = tokenizer(text)
        _compare(
            "token parity", f"conversation {number} ({text[:60]!r})", trained, engine_tokenize(text), ("training", "engine"), _TOKENS_NEXT
        )
        total += len(trained)
    return GateResult("token parity", len(conversations), f"{total} token ids equal in {len(conversations)} conversations")


def check_greedy_parity(before: Continue, after: Continue, prompts: Sequence[list[int]]) -> GateResult:
    """The model chooses the same tokens before and after a change of its form, such as the merge; no tie is allowed for.

    Args:
        before, after: greedy continuations of token ids, both computed in float32 and of the same length.
        prompts: at least one.

    Raises:
        ReleaseError: no prompts, or one whose continuation differs.
    """
    if not prompts:
        raise ReleaseError("greedy parity needs prompts and got none", "Give token ids of conversations from the held-out split")
    total = 0
    for number, prompt in enumerate(prompts):
        first = before(prompt)
        _compare("greedy parity", f"prompt {number} of {len(prompt)} tokens", first, after(prompt), ("before", "after"), _GREEDY_NEXT)
        total += len(first)
    return GateResult("greedy parity", len(prompts), f"{total} greedily chosen tokens equal after {len(prompts)} prompts")


def check_score_loss(before: float, after: float, limit: float = 0.02) -> GateResult:
    """Quantisation costs at most `limit` of a score.

    Args:
        before, after: the same score, higher is better, of the unquantised and the shipped model on the same rows.
        limit: in the score's own units.

    Raises:
        ReleaseError: it costs more, or a score is no number.
    """
    if not (math.isfinite(before) and math.isfinite(after)):
        raise ReleaseError(f"gate 'score loss' got scores {before} and {after}", "Evaluate both models on rows that have answers")
    # Scores are printed to four places; a difference in the last place of a float is none.
    if round(before - after, 9) > limit:
        raise ReleaseError(
            f"gate 'score loss' failed: the score fell from {before:.4f} to {after:.4f}, by more than {limit:g}",
            "Choose a finer quantisation, such as Q8_0",
        )
    return GateResult("score loss", 1, f"{before:.4f} before and {after:.4f} after quantisation, limit {limit:g}")


_TOKENS_NEXT = "Release with the tokenizer.json that training wrote; a tokenizer changed after training, or one that llama.cpp splits differently, cannot ship"
_GREEDY_NEXT = "Compare both models in float32; if they still differ, merge again from the base that the adapter was trained on"


def _compare(gate: str, where: str, left: list[int], right: list[int], sides: tuple[str, str], next_step: str) -> None:
    for place, (a, b) in enumerate(zip_longest(left, right)):
        if a != b:
            raise ReleaseError(
                f"gate {gate!r} failed at {where}, position {place}: {sides[0]} has {_window(left, place)}, {sides[1]} has {_window(right, place)}",
                next_step,
            )


def _window(ids: list[int], place: int) -> str:
    return f"{ids[place]} (of {ids[max(0, place - 2) : place + 3]})" if place < len(ids) else f"ended after {len(ids)} tokens"
