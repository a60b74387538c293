"""Identifiers: the published examples, and the slips of one digit that their checks promise to notice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.identifiers import identifiers, is_valid

PROTECTED = {
    "id.medicare": range(9),
    "id.ihi": range(16),
    "id.hpi-i": range(16),
    "id.hpi-o": range(16),
    "id.tfn": range(9),
    "id.abn": range(11),
    "id.provider": range(6),
}
EXAMPLES = [(kind, number) for kind in PROTECTED for number in identifiers()[kind].valid]


def test_examples_are_read_as_they_are_meant() -> None:
    for kind in identifiers().values():
        assert all(is_valid(kind.id, number) for number in kind.valid), kind.id
        assert not any(is_valid(kind.id, number) for number in kind.invalid), kind.id


@given(st.sampled_from(EXAMPLES), st.data())
def test_one_wrong_digit_is_noticed(example: tuple[str, str], data: st.DataObject) -> None:
    kind, number = example
    digits = [place for place in PROTECTED[kind] if place < len(number) and number[place].isdigit()]
    place = data.draw(st.sampled_from(digits))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    assert not is_valid(kind, number[:place] + wrong + number[place + 1 :])


@given(st.integers(0, 99_999_999), st.integers(2, 6))
def test_each_card_number_has_one_check_digit(rest: int, first: int) -> None:
    stem = f"{first}{rest:08d}"[:8]
    assert sum(is_valid("id.medicare", f"{stem}{check}1") for check in range(10)) == 1


@given(st.sampled_from(sorted(identifiers())), st.text())
def test_any_text_has_an_answer(kind: str, text: str) -> None:
    assert is_valid(kind, text) in (True, False)


@pytest.mark.parametrize("text", ["2123 45670 1", "2123-45670-1"])
def test_spaces_and_hyphens_do_not_matter(text: str) -> None:
    assert is_valid("id.medicare", text)


def test_digits_of_other_scripts_are_none() -> None:
    assert not is_valid("id.medicare", "２１２３４５６７０１")


def test_issue_number_zero_is_refused() -> None:
    assert not is_valid("id.medicare", "2123456700")


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(KnowledgeError, match=r"id\.medicare"):
        is_valid("medicare", "2123456701")
