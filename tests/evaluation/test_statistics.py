from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.evaluation import statistics
from bedside.evaluation.statistics import SumMetric, Sums, bootstrap, calibration, compare, latency, ratio


@dataclass(frozen=True)
class Outcome:
    id: str
    right: float


@SumMetric
def accuracy(samples):
    """Share right."""
    counts = np.array([(s.right, 1.0) for s in samples])
    return Sums(counts, lambda totals: ratio(totals[..., 0], totals[..., 1]))


def plain_accuracy(samples):
    return sum(s.right for s in samples) / len(samples)


def outcomes(rights):
    return [Outcome(f"s{i}", float(right)) for i, right in enumerate(rights)]


def drawn(share, size=200, seed=0):
    return outcomes(np.random.default_rng(seed).random(size) < share)


def test_a_sum_metric_and_a_plain_function_give_the_same_interval():
    samples = drawn(0.8)
    fast, plain = (astuple(bootstrap(samples, metric, resamples=300, seed=4)) for metric in (accuracy, plain_accuracy))
    assert fast == pytest.approx(plain)


def test_interval_is_close_to_the_normal_one():
    samples = drawn(0.7, size=1000)
    interval = bootstrap(samples, accuracy, resamples=4000)
    half = 1.96 * math.sqrt(interval.value * (1 - interval.value) / 1000)
    assert interval.low == pytest.approx(interval.value - half, abs=0.004)
    assert interval.high == pytest.approx(interval.value + half, abs=0.004)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    intervals = [bootstrap(drawn(0.7, seed=seed), accuracy, resamples=400, seed=seed) for seed in range(200)]
    assert 0.89 <= np.mean([interval.low <= 0.7 <= interval.high for interval in intervals]) <= 0.99


def test_any_statistic_can_be_resampled():
    samples = [float(x) for x in range(101)]
    interval = bootstrap(samples, lambda drawn: float(np.median(drawn)), resamples=200)
    assert interval.value == 50
    assert 30 < interval.low < 50 < interval.high < 70


def test_equal_seeds_give_equal_results_and_others_differ():
    samples = drawn(0.6)
    assert bootstrap(samples, accuracy, seed=7) == bootstrap(samples, accuracy, seed=7)
    assert bootstrap(samples, accuracy, resamples=9, seed=7) != bootstrap(samples, accuracy, resamples=9, seed=8)


def test_memory_batches_do_not_change_the_result(monkeypatch):
    samples, others = drawn(0.6, size=30), drawn(0.8, size=30, seed=1)
    whole = bootstrap(samples, accuracy, resamples=50), compare(samples, others, accuracy, resamples=50)
    monkeypatch.setattr(statistics, "_CELLS_AT_ONCE", 70)
    assert (bootstrap(samples, accuracy, resamples=50), compare(samples, others, accuracy, resamples=50)) == whole


def test_undefined_resamples_are_left_out():
    @SumMetric
    def right_of_the_first(samples):
        """Share right of the sample s0, undefined when it is not drawn."""
        return Sums(
            np.array([(s.right * (s.id == "s0"), s.id == "s0") for s in samples], dtype=float), lambda t: ratio(t[..., 0], t[..., 1])
        )

    interval = bootstrap(outcomes([1, 0, 0]), right_of_the_first)
    assert (interval.value, interval.low, interval.high) == (1, 1, 1)
    never = bootstrap(outcomes([1, 0, 0])[1:], right_of_the_first)
    assert all(math.isnan(x) for x in (never.value, never.low, never.high))


def test_comparison_of_a_system_with_itself_finds_nothing():
    samples = drawn(0.7)
    result = compare(samples, samples, accuracy)
    assert (result.difference.value, result.difference.low, result.difference.high, result.p) == (0, 0, 0, 1)


def test_permutation_p_agrees_with_the_exact_sign_test():
    first, second = outcomes([1] * 30), outcomes([1] * 22 + [0] * 8)
    result = compare(first, second, accuracy, resamples=20_000)
    assert result.p == pytest.approx(2 / 2**8, abs=0.002)
    assert result.difference.value == pytest.approx(8 / 30)
    assert result.difference.low > 0


def test_comparison_pairs_by_id_not_by_position():
    first, second = drawn(0.9, size=60), drawn(0.6, size=60, seed=3)
    assert compare(first, second, accuracy) == compare(first, second[::-1], accuracy)


def test_swapping_the_systems_turns_the_sign():
    first, second = drawn(0.9), drawn(0.6, seed=3)
    one, other = compare(first, second, accuracy, seed=5), compare(second, first, accuracy, seed=5)
    assert one.p == other.p
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high)


def test_p_is_never_nought():
    assert compare(outcomes([1] * 200), outcomes([0] * 200), accuracy, resamples=99).p == pytest.approx(0.01)


def test_a_plain_function_can_be_compared_too():
    first, second = drawn(0.9, size=40), drawn(0.5, size=40, seed=3)
    plain, fast = (compare(first, second, metric, resamples=100) for metric in (plain_accuracy, accuracy))
    assert plain.p == fast.p
    assert plain.difference.low == pytest.approx(fast.difference.low)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([], [], "no samples"),
        (outcomes([1, 0]), outcomes([1]), "'s1'"),
        (outcomes([1]) * 2, outcomes([1]), "twice"),
        (outcomes([1]), outcomes([1]) * 2, "twice"),
    ],
)
def test_unpaired_samples_are_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        compare(first, second, accuracy)


def test_nothing_to_resample_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        bootstrap([], accuracy)


def test_expected_calibration_error_by_hand():
    # Bin (0.8, 0.9]: two decisions at 0.9, one right: gap 0.4. Bin (0.5, 0.6]: two at 0.6, both right: gap 0.4.
    # Bin (0.0, 0.1]: one at 0.1, wrong: gap 0.1. ECE = 2/5 * 0.4 + 2/5 * 0.4 + 1/5 * 0.1 = 0.34.
    result = calibration([0.9, 0.9, 0.6, 0.6, 0.1], [True, False, True, True, False])
    assert result.ece == pytest.approx(0.34)
    assert [b.count for b in result.bins] == [1, 0, 0, 0, 0, 2, 0, 0, 2, 0]
    assert (result.bins[8].low, result.bins[8].high, result.bins[8].confidence, result.bins[8].accuracy) == (0.8, 0.9, 0.9, 0.5)
    assert math.isnan(result.bins[1].accuracy)


@pytest.mark.parametrize(("probability", "index"), [(0, 0), (0.1, 0), (0.1001, 1), (0.3, 2), (0.6, 5), (0.7, 6), (1, 9)])
def test_bins_are_open_below_and_closed_above(probability, index):
    assert [b.count for b in calibration([probability], [True]).bins].index(1) == index


@pytest.mark.parametrize(("probabilities", "correct"), [([0.5], []), ([1.2], [True]), ([-0.1], [True]), ([math.nan], [True])])
def test_calibration_refuses_what_is_no_probability(probabilities, correct):
    with pytest.raises(ValueError, match=r"outcomes|outside"):
        calibration(probabilities, correct)


def test_calibration_of_nothing_is_undefined():
    assert math.isnan(calibration([], []).ece)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_calibration_is_bounded_counts_all_and_knows_no_order(decisions, random):
    result = calibration(*zip(*decisions, strict=True))
    assert 0 <= result.ece <= 1
    assert sum(b.count for b in result.bins) == len(decisions)
    random.shuffle(decisions)
    assert calibration(*zip(*decisions, strict=True)).ece == pytest.approx(result.ece)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(deadline=None, max_examples=40)
def test_certainty_that_is_always_right_is_calibrated_and_always_wrong_is_not(rights):
    assert calibration([float(r) for r in rights], rights).ece == 0
    assert calibration([1.0] * len(rights), [False] * len(rights)).ece == 1


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_interval_lies_within_the_range_of_the_metric(rights, seed):
    interval = bootstrap(outcomes(rights), accuracy, resamples=50, seed=seed)
    assert 0 <= interval.low <= interval.high <= 1


def test_latency_percentiles():
    result = latency([i / 1000 for i in range(1, 102)])
    assert result.p50 == pytest.approx(0.051)
    assert result.p90 == pytest.approx(0.091)
    assert result.p95 == pytest.approx(0.096)
    assert result.p99 == pytest.approx(0.100)
    assert result.slowest == pytest.approx(0.101)
    assert result.mean == pytest.approx(0.051)


def test_latency_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no durations"):
        latency([])
