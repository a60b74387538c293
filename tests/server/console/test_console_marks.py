"""Marked texts: whatever is marked, the text stays what it was."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from bedside.server.console.explain import explain, tone
from bedside.server.console.marks import Mark, pieces

_PLACES = st.integers(-3, 60)
_MARKS = st.lists(st.builds(Mark, _PLACES, _PLACES, st.sampled_from(["RF01", "RF02"])), max_size=8)


@given(st.text(max_size=50), _MARKS)
def test_pieces_are_the_text_and_each_letter_has_the_labels_of_its_marks(text: str, marks: list[Mark]) -> None:
    found = pieces(text, marks)
    assert "".join(piece.text for piece in found) == text
    inside = [mark for mark in marks if 0 <= mark.start < mark.end <= len(text)]
    labels = [set(piece.labels) for piece in found for _ in piece.text]
    assert labels == [{mark.label for mark in inside if mark.start <= at < mark.end} for at in range(len(text))]


def test_the_words_that_fired_are_the_ones_marked() -> None:
    said = "Hi love, dad has bad chest pain and he's sweaty"
    explained = explain(said, day=date(2026, 11, 23))
    assert explained.place.id == "E000" and "000" in explained.says
    marked = "".join(piece.text for piece in explained.pieces if "RF01" in piece.labels)
    assert "chest pain" in marked and "love" not in marked


def test_every_disposition_has_its_tone() -> None:
    assert {place: tone(place) for place in ("E000", "ED_NOW", "NURSE_NOW", "HUMAN", "SAME_DAY", "ROUTINE")} == {
        "E000": "stop",
        "ED_NOW": "stop",
        "NURSE_NOW": "stop",
        "HUMAN": "warn",
        "SAME_DAY": "warn",
        "ROUTINE": "good",
    }
