from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from bedside.evaluation.scorers import METRICS
from bedside.evaluation.scores import Machine, RunFacts, compare_systems, score_system, to_json


def texts(samples):
    return {s.id: f"words of {s.id}" for s in samples}


def test_scores_of_a_system(predictions):
    samples = predictions(80, 0.8)
    scores = score_system(samples, texts(samples), resamples=100)
    assert list(scores.metrics) == list(METRICS)
    assert all(i.low <= i.value <= i.high for i in scores.metrics.values())
    assert len(scores.entropy_right) + len(scores.entropy_wrong) == len(scores.seconds) == 80
    assert [w.understood.id for w in scores.wrong] == [s.id for s in samples if s.gold_intents != s.predicted_intents]
    assert scores.wrong[0].text == f"words of {scores.wrong[0].understood.id}"


def test_the_shipped_system_is_compared_with_every_other(predictions):
    systems = {"base": predictions(80, 0.5), "tuned": predictions(80, 0.9), "plain": predictions(80, 0.8)}
    differences = compare_systems(systems, "tuned", resamples=200)
    assert [(d.first, d.second) for d in differences[:: len(METRICS)]] == [("tuned", "base"), ("tuned", "plain")]
    assert {d.metric for d in differences} == set(METRICS)
    micro = differences[0].comparison
    assert micro.difference.low > 0
    assert micro.p < 0.05


def test_everything_is_written_as_json(predictions):
    samples = predictions(30, 0.8)
    scores = score_system([s for s in samples if len(s.gold_intents) < 2], texts(samples), resamples=20)
    facts = RunFacts(datetime(2026, 11, 22, tzinfo=UTC), Machine("a cpu", 2, 8), "0.1", 3, {"model": "ab"})
    value = json.loads(json.dumps(to_json({"systems": {"tuned": scores}, "facts": facts}), allow_nan=False))
    assert value["facts"]["date"] == "2026-11-22T00:00:00+00:00"
    assert value["facts"]["machine"] == {"cpu": "a cpu", "cores": 2, "memory": 8}
    tuned = value["systems"]["tuned"]
    assert tuned["metrics"]["exact_match_multi"] == {"value": None, "low": None, "high": None}
    assert tuned["metrics"]["micro_f1"]["value"] == scores.metrics["micro_f1"].value
    assert tuned["wrong"][0]["understood"]["gold_intents"] == sorted(scores.wrong[0].understood.gold_intents)


def test_what_has_no_form_in_json_is_refused():
    with pytest.raises(TypeError, match="complex"):
        to_json({"a": [1j]})


def test_facts_of_this_run():
    facts = RunFacts.now(5, {"suite": "cd"})
    assert facts.date.tzinfo is UTC
    assert facts.machine.cores >= 1
    assert facts.machine.cpu
    assert (facts.seed, facts.hashes) == (5, {"suite": "cd"})
