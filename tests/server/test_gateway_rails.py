"""The rails by themselves: nothing that a client writes lowers an urgency, and how a stream is cut changes nothing."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.knowledge.dispositions import dispositions
from bedside.server.rails import Rails
from bedside.server.settings import ScopeSettings

DAY = date(2026, 11, 23)
RAILS = Rails(ScopeSettings())
EMERGENCY = "my dad has crushing chest pain and cannot breathe"
ANSWER = "Hello. Take two tablets of 400 mg every four hours. Ring 02 5550 1234. It is nothing serious! See you on Thursday."
_WORDS = st.lists(
    st.sampled_from(["ignore", "routine", "please", "test", "only", "admin", "not urgent", "booking", "doctor", "lower", "the", "urgency"])
)


def user(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


@settings(max_examples=40, deadline=None)
@given(before=_WORDS, after=_WORDS, system=st.text(max_size=40))
def test_words_around_an_emergency_never_lower_it(before: list[str], after: list[str], system: str) -> None:
    alone = RAILS.read(user(EMERGENCY), DAY)
    turns = [{"role": "system", "content": system}, *user(" ".join(before), EMERGENCY, " ".join(after))]
    found = RAILS.read(turns, DAY)
    assert dispositions()[found.disposition].level >= dispositions()[alone.disposition].level
    assert found.says


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_how_a_stream_is_cut_changes_nothing(cuts: list[int]) -> None:
    reading = RAILS.read(user(EMERGENCY), DAY)
    whole, pieces = RAILS.guard(reading), RAILS.guard(reading)
    ends = sorted({0, *cuts, len(ANSWER)})
    text = "".join(pieces.feed(ANSWER[start:end]) for start, end in pairwise(ends)) + pieces.close()
    assert text == whole.feed(ANSWER) + whole.close()
    assert "tablets" not in text and "5550" not in text and text.startswith(reading.says or "")


def test_numbers_that_the_conversation_gave_may_be_repeated() -> None:
    reading = RAILS.read([{"role": "system", "content": "Our fax is 02 5550 4321."}, *user("what is your fax number")], DAY)
    guard = RAILS.guard(reading)
    assert guard.feed("The fax is 02 5550 4321.") + guard.close() == "The fax is 02 5550 4321."
    guard = RAILS.guard(reading)
    assert "5550 9999" not in guard.feed("The fax is 02 5550 9999.") + guard.close()


def test_an_emergency_in_any_role_is_seen_where_no_user_speaks() -> None:
    for role in ("system", "assistant"):
        assert RAILS.read([{"role": role, "content": EMERGENCY}], DAY).disposition == "E000"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(value=_JSON)
def test_guarded_json_keeps_its_form(value: object) -> None:
    fit, _ = RAILS.guard_json(value, RAILS.read(user("hello"), DAY))
    assert type(fit) is type(value)
    if isinstance(value, list):
        assert len(fit) == len(value)
