"""Where turns begin and end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.media.turns import SPELLING, LevelGate, TurnDetector, TurnRules
from bedside.phone.media.vad import WINDOW_MS

SPEECH, SILENCE = (0.95, -25.0), (0.02, -70.0)


def changes(
    windows: list[tuple[float, float]], rules: TurnRules | None = None, hint: float | None = None, line: bool = False
) -> list[tuple[int, str]]:
    """Each change with the milliseconds at which it came; the hint is given at every pause."""
    detector, found = TurnDetector(rules or TurnRules()), []
    for number, window in enumerate(windows, 1):
        if (change := detector.hear(*window, line_speaks=line)) is not None:
            found.append((number * WINDOW_MS, change))
        if hint is not None and detector.in_turn and detector.silence_ms:
            detector.hint(hint)
    return found


def said(ms: int) -> list[tuple[float, float]]:
    return [SPEECH] * (ms // WINDOW_MS)


def quiet(ms: int) -> list[tuple[float, float]]:
    return [SILENCE] * (ms // WINDOW_MS)


def test_a_turn_ends_after_its_silence_and_a_short_pause_does_not_end_it() -> None:
    found = changes(quiet(960) + said(960) + quiet(480) + said(960) + quiet(1600))
    assert [change for _, change in found] == ["started", "silence"]
    start, end = (ms for ms, _ in found)
    assert start - 960 == 96 and 700 <= end - (960 + 960 + 480 + 960) < 700 + WINDOW_MS


@pytest.mark.parametrize(("hint", "ms"), [(1.0, 400), (0.5, 700), (0.0, 1500), (7.0, 400), (-3.0, 1500)])
def test_a_hint_moves_the_end_between_two_bounds(hint: float, ms: int) -> None:
    found = changes(said(960) + quiet(3200), hint=hint)
    assert ms <= found[1][0] - 960 < ms + 2 * WINDOW_MS


def test_people_who_spell_get_longer_pauses() -> None:
    windows = said(480) + quiet(1280) + said(480) + quiet(2560)
    assert len(changes(windows)) == 4
    assert len(changes(windows, SPELLING)) == 2


def test_speaking_over_the_line_takes_longer_than_a_cough() -> None:
    cough = quiet(960) + said(160) + quiet(960)
    assert changes(cough, line=True) == []
    assert changes(quiet(960) + said(480), line=True) == [(960 + 256, "started")]


def test_clicks_never_add_up_to_a_turn() -> None:
    assert changes((said(64) + quiet(128)) * 40) == []


def test_a_turn_that_never_ends_is_ended() -> None:
    rules = TurnRules(longest_ms=3000)
    loud = [(0.95, -45.0 if n % 20 < 5 else -20.0) for n in range(400)]  # sentences without a breath
    found = changes(loud, rules)
    assert found[1][1] == "longest" and 3000 <= found[1][0] - found[0][0] + 96 < 3000 + 2 * WINDOW_MS


def test_babble_that_reads_as_speech_goes_unheard_once_it_is_known_and_a_caller_above_it_is_heard() -> None:
    rng = np.random.default_rng(3)
    babble = [(0.9, level) for level in rng.normal(-38, 2.5, size=1000)]
    after_four_seconds = [change for ms, change in changes(babble) if ms > 5000]
    assert after_four_seconds == []
    over_it = babble[:300] + [(0.95, -20.0)] * 30 + babble[:100]
    assert [change for ms, change in changes(over_it) if ms > 300 * WINDOW_MS] == ["started", "silence"]


def test_the_gate_stands_ten_above_the_background_and_never_below_minus_fifty() -> None:
    gate = LevelGate()
    assert not gate.open(-51) and gate.open(-49)
    for _ in range(200):
        gate.open(-40)
    assert gate.background == pytest.approx(-40) and not gate.open(-31) and gate.open(-29)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-100, 0), st.booleans()), max_size=150), st.integers(100, 3000))
def test_starts_and_ends_take_turns_and_no_turn_is_too_long(windows: list[tuple[float, float, bool]], longest: int) -> None:
    detector, last, since = TurnDetector(TurnRules(longest_ms=longest)), "ended", 0
    for probability, level, line in windows:
        change = detector.hear(probability, level, line)
        since += WINDOW_MS
        if change == "started":
            assert last != "started"
            last, since = change, 0
        elif change is not None:
            assert last == "started" and since <= longest + WINDOW_MS
            last = change
        assert detector.in_turn == (last == "started")
