"""Gates name what differs and where; those passed say what they compared."""

from __future__ import annotations

import math

import pytest

from bedside.errors import ReleaseError
from bedside.release.gates import check_greedy_parity, check_score_loss, check_token_parity

from .conftest import Tiny, golden


def test_token_parity_counts_what_it_compared(llama: Tiny) -> None:
    result = check_token_parity(golden(), llama.contract, llama.ids, llama.ids)
    assert result.gate == "token parity" and result.checked == 60
    assert result.detail.endswith("token ids equal in 60 conversations")


def test_token_parity_names_the_first_difference(llama: Tiny) -> None:
    target = llama.contract.render(golden()[7])

    def engine(text: str) -> list[int]:
        ids = llama.ids(text)
        return [*ids[:4], 7777, *ids[5:]] if text == target else ids

    with pytest.raises(
        ReleaseError,
        match=r"gate 'token parity' failed at conversation 7 \('<\|im_start\|>.*, position 4: training has \d+ .*, engine has 7777 \(of ",
    ) as caught:
        check_token_parity(golden(), llama.contract, llama.ids, engine)
    assert "tokenizer.json" in caught.value.next_step


def test_token_parity_sees_a_missing_last_token(llama: Tiny) -> None:
    with pytest.raises(ReleaseError, match=r"engine has ended after \d+ tokens"):
        check_token_parity(golden(), llama.contract, llama.ids, lambda text: llama.ids(text)[:-1])


def test_too_few_conversations_prove_nothing(llama: Tiny) -> None:
    with pytest.raises(ReleaseError, match="needs 50 golden conversations, not 49"):
        check_token_parity(golden(count=49), llama.contract, llama.ids, llama.ids)


def test_greedy_parity_needs_prompts_and_equal_tokens() -> None:
    assert (
        check_greedy_parity(lambda p: [*p, 1], lambda p: [*p, 1], [[1], [2, 3]]).detail == "5 greedily chosen tokens equal after 2 prompts"
    )
    with pytest.raises(ReleaseError, match="needs prompts"):
        check_greedy_parity(lambda p: p, lambda p: p, [])
    with pytest.raises(ReleaseError, match=r"prompt 1 of 2 tokens, position 1: before has 3 \(of \[2, 3\]\), after has 9"):
        check_greedy_parity(lambda p: p, lambda p: [9 if id == 3 else id for id in p], [[1], [2, 3]])


def test_score_loss_within_and_beyond_its_limit() -> None:
    assert check_score_loss(0.92, 0.90).gate == "score loss"
    assert check_score_loss(0.5, 0.9).detail == "0.5000 before and 0.9000 after quantisation, limit 0.02"
    with pytest.raises(ReleaseError, match=r"fell from 0\.9200 to 0\.8900, by more than 0\.02"):
        check_score_loss(0.92, 0.89)
    with pytest.raises(ReleaseError, match="nan"):
        check_score_loss(0.9, math.nan)
