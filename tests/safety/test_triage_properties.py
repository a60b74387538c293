"""What has to hold for every turn: nothing that a caller adds lowers an emergency, and nothing crashes."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.knowledge.dispositions import dispositions
from bedside.safety.text import read
from bedside.safety.triage import triage

CALLS = [json.loads(line) for line in (Path(__file__).parent / "dev_calls.jsonl").read_text(encoding="utf-8").splitlines()]
URGENT = [call["text"] for call in CALLS if dispositions()[triage(call["text"]).disposition].emergency]
SYMPTOMS = [
    "chest pain",
    "slurred speech",
    "vomiting blood",
    "bleeding from the back passage",
    "a seizure",
    "suicidal thoughts",
    "purple spots",
]

urgent = st.sampled_from(URGENT)
minimisers = st.sampled_from(
    ["it's probably nothing but ", "sorry to bother you ", "she'll be right but ", "not to worry, ", "just quickly, "]
)
requests = st.sampled_from(
    [", and what are your hours", ". also I need a referral", ", can you send my script to the chemist", ". do you bulk bill"]
)


def rank(text: str) -> int:
    return dispositions()[triage(text).disposition].level


@given(urgent, minimisers, requests)
@settings(max_examples=300, deadline=None)
def test_minimising_and_other_wishes_lower_nothing(text: str, before: str, after: str) -> None:
    assert rank(before + text + after) >= rank(text)


@given(urgent, urgent)
@settings(max_examples=300, deadline=None)
def test_a_second_emergency_lowers_nothing(one: str, other: str) -> None:
    assert rank(f"{one}. {other}") >= max(rank(one), rank(other))


@given(
    urgent,
    st.sampled_from([str.upper, str.title, lambda t: t.replace(" ", "   "), lambda t: f"\u200b{t}\u200b", lambda t: t.replace("e", "е")]),
)
@settings(max_examples=200, deadline=None)
def test_the_look_of_letters_changes_nothing(text: str, change: object) -> None:
    assert callable(change)
    assert triage(str(change(text))).disposition == triage(text).disposition


@given(st.sampled_from(SYMPTOMS), st.sampled_from(SYMPTOMS), st.sampled_from(["no ", "i haven't got any ", "she denies any ", "without "]))
def test_a_denial_silences_what_it_denies_and_nothing_else(denied: str, present: str, denial: str) -> None:
    assert triage(denial + denied).red_flags == ()
    alone = {flag.id for flag in triage(present).red_flags}
    assert {flag.id for flag in triage(f"{denial}{denied} but {present}").red_flags} == alone


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_a_disposition_and_true_spans(text: str) -> None:
    result = triage(text)
    assert result.disposition in dispositions()
    for flag in result.red_flags:
        assert flag.evidence == tuple(text[start:end] for start, end in flag.spans)
    assert triage(read(text)) == result
