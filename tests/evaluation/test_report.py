from __future__ import annotations

import dataclasses
import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from bedside.evaluation.report import NOTICE, write_report
from bedside.evaluation.scorers import METRICS, data_counts
from bedside.evaluation.scores import Machine, RunFacts, WrongSample, compare_systems, score_system
from bedside.evaluation.statistics import Interval

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}
FACTS = RunFacts(
    datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    Machine("Some CPU 3000", 2, 24 * 2**30),
    "0.1.0",
    17,
    {"model": "ab" * 32, "suite": "cd" * 32},
)


class Page(HTMLParser):
    """What a reader and a browser find on the page."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.references, self.words, self.svg_labels = [], [], [], [], [], []
        self.rows: list[list[str]] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag == "svg":
            assert attributes["role"] == "img"
            self.svg_labels.append(attributes["aria-label"])
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def row(self, *starts):
        rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        return next(row for row in rows if row[: len(starts)] == list(starts))


@pytest.fixture(scope="module")
def systems(predictions):
    skills = {"base": 0.5, "tuned, merged": 0.88, "tuned, Q8_0": 0.87, "MiniLM": 0.8}
    return {name: predictions(120, skill) for name, skill in skills.items()}


@pytest.fixture(scope="module")
def scores(systems):
    return {name: score_system(samples, {s.id: f"words of {s.id}" for s in samples}, resamples=100) for name, samples in systems.items()}


@pytest.fixture(scope="module")
def differences(systems):
    return compare_systems(systems, "tuned, Q8_0", resamples=100)


def signed(value):
    shown = f"{value:+.3f}"
    return shown[1:] if shown[1:] == "0.000" else shown.replace("-", "\N{MINUS SIGN}")


def written(folder, systems, **others):
    path = folder / "report.html"
    given = {"shipped": "tuned, Q8_0", "differences": (), "counts": {"samples": 120}, "facts": FACTS} | others
    write_report(path, "Caller turns", systems, **given)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def markup(tmp_path_factory, systems, scores, differences):
    counts = data_counts(systems["base"])
    return written(tmp_path_factory.mktemp("report"), scores, differences=differences, counts=counts)


@pytest.fixture(scope="module")
def page(markup):
    return Page(markup)


def test_the_page_is_well_formed_and_needs_nothing_else(markup, page):
    assert page.open == []
    assert not re.search(r"https?:|//[a-z]|@import", markup)
    assert "script" not in page.tags
    assert all(reference.startswith("#") for reference in page.references)
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", markup)) <= set(page.ids)


def test_every_metric_of_every_system_appears_with_its_interval(page, scores):
    for name, shown in METRICS.items():
        row = page.row(shown.label + ("" if shown.higher_is_better else " (lower is better)"))
        intervals = [system.metrics[name] for system in scores.values()]
        assert row[1:] == [f"{i.value:.3f} {i.low:.3f} to {i.high:.3f}" for i in intervals]


def test_every_difference_appears_with_its_interval_and_p(page, differences):
    expected = {}
    for d in differences:
        interval = d.comparison.difference
        value, low, high = (signed(x) for x in (interval.value, interval.low, interval.high))
        expected.setdefault(d.metric, []).append(f"{value} {low} to {high} p = {d.comparison.p:.3f}")
    rows = [[" ".join(cell.split()) for cell in row] for row in page.rows]
    for metric, cells in expected.items():
        label = METRICS[metric].label + ("" if METRICS[metric].higher_is_better else " (lower is better)")
        assert [label, *cells] in rows


def test_every_latency_appears(page, scores):
    for name, system in scores.items():
        assert page.row(name)[1:] == [f"{seconds * 1000:.1f}" for seconds in dataclasses.astuple(system.latency)]


def test_every_intent_appears_best_first(page, scores):
    shipped = scores["tuned, Q8_0"].per_intent
    for intent, score in shipped.items():
        assert page.row(intent)[1:] == [f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}", str(score.support)]
    shown = [row[0] for row in page.rows if row and row[0] in shipped and len(row) == 5]
    assert [shipped[intent].f1 for intent in shown] == sorted((s.f1 for s in shipped.values()), reverse=True)


def test_confusions_appear(page, scores):
    for confusion in scores["tuned, Q8_0"].confusions:
        assert page.row(confusion.gold, confusion.predicted)[2] == str(confusion.count)


def test_every_wrong_turn_of_the_shipped_system_appears(page, scores):
    for wrong in scores["tuned, Q8_0"].wrong:
        u = wrong.understood
        _, gold, predicted, *_, entropy = page.row(f"{wrong.text} {u.id}")
        assert all(intent in gold for intent in u.gold_intents)
        assert all(f"{intent} {u.probabilities[intent]:.3f}" in predicted for intent in u.predicted_intents)
        assert entropy == f"{u.entropy:.3f}"
    assert f"got wrong ({len(scores['tuned, Q8_0'].wrong)})" in page.text


def test_counts_notice_and_facts_appear(page, systems):
    for what, count in data_counts(systems["base"]).items():
        assert f"{count} {what}" in page.text
    assert page.text.index(NOTICE) < page.text.index("Scores")
    for fact in ("22 November 2026, 09:30 UTC", "bedside 0.1.0", "seed 17", "Some CPU 3000", "2 cores", "24.0 GiB", "ab" * 32, "cd" * 32):
        assert fact in page.text


def test_every_figure_has_an_alternative_text_with_its_numbers(page, scores):
    assert page.tags.count("figure") == len(page.svg_labels) == 5
    bars, reliability, entropy, latency, _ = page.svg_labels
    for name, system in scores.items():
        assert f"{name} {system.metrics['micro_f1'].value:.3f}" in bars
        assert f"{name} {system.calibration.ece:.3f}" in reliability
    shipped = scores["tuned, Q8_0"]
    assert f"{shipped.latency.p95 * 1000:.1f} ms" in latency
    assert f"{len(shipped.entropy_wrong)} wrong" in entropy


def test_colours_follow_the_page(markup):
    assert "prefers-color-scheme: dark" in markup
    svgs = "".join(re.findall(r"<svg.*?</svg>", markup, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", svgs)


def test_the_words_of_callers_are_escaped(tmp_path, scores):
    shipped = scores["tuned, Q8_0"]
    nasty = r'<script>alert("x")</script> & <b> $\x$'
    understood = dataclasses.replace(shipped.wrong[0].understood, predicted_slots={"who": nasty})
    system = dataclasses.replace(shipped, wrong=(WrongSample(nasty, understood),))
    markup = written(tmp_path, {nasty: system}, shipped=nasty, counts={nasty: 1})
    parsed = Page(markup)
    assert "script" not in parsed.tags
    assert "<script" not in markup
    assert nasty in parsed.text


def test_undefined_values_and_own_metrics_are_shown(tmp_path, scores):
    shipped = scores["tuned, Q8_0"]
    nan = math.nan
    metrics = {"micro_f1": shipped.metrics["micro_f1"], "slot_f1": Interval(nan, nan, nan), "emergency_recall": Interval(0.987, 0.912, 1)}
    system = dataclasses.replace(shipped, metrics=metrics, wrong=(), entropy_wrong=(), confusions=())
    parsed = Page(written(tmp_path, {"tuned, Q8_0": system, "base": dataclasses.replace(system, metrics={})}))
    assert parsed.row("Slot F1")[1:] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert parsed.row("emergency recall")[1:] == ["0.987 0.912 to 1.000", "\N{EN DASH}"]
    assert "Paired differences" not in parsed.text


def test_a_shipped_system_that_was_not_scored_is_refused(tmp_path, scores):
    with pytest.raises(ValueError, match="'other'"):
        written(tmp_path, scores, shipped="other")
    assert not list(tmp_path.iterdir())


def test_equal_results_give_equal_files(tmp_path, markup, systems, scores, differences):
    assert written(tmp_path, scores, differences=differences, counts=data_counts(systems["base"])) == markup
