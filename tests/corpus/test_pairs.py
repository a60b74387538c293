"""The template library covers the devices, and neither doses nor reassures."""

from __future__ import annotations

from datetime import date

from bedside.corpus.pairs.library import by_statement, by_value, library_records, measures, templates
from bedside.corpus.unsafe import unsafe


def template_of(name: str, value: float, unit: str, low: float | None = None, high: float | None = None) -> str:
    found = by_value(name, "", value, unit, low, high)
    return found if isinstance(found, str) else found[0]


def test_an_interval_that_came_with_the_value_goes_before_our_threshold_but_not_before_an_alert() -> None:
    assert template_of("K", 5.4, "mmol/L", 3.5, 5.5) == "interval.within"
    assert template_of("K", 5.4, "mmol/L") == "lab.potassium.high"
    assert template_of("K", 6.6, "mmol/L", 3.5, 7.0) == "lab.potassium.critical"


def test_no_unit_is_guessed() -> None:
    assert [template_of("K", 6.6, unit) for unit in ("", "furlong", "mmol/L")] == ["no_unit", "unknown_unit", "lab.potassium.critical"]


def test_the_library_covers_every_kind_of_device_with_at_least_sixty_templates() -> None:
    assert len(templates()) >= 60
    assert {template.device for template in templates()} == {"ecg", "abpm", "spirometry", "cgm", "oximetry", "laboratory"}
    assert {template.measure for template in templates() if template.measure} <= measures().keys()


def test_no_template_doses_reassures_or_advertises() -> None:
    for template in templates():
        answer = template.written("Reported in words")
        assert [finding for finding in unsafe("", answer, day=date(2026, 11, 22)) if finding.action == "drop"] == [], template.id
        assert not {"worry", "fine", "harmless", "reassur"} & set(answer.lower().split()), template.id


def test_the_library_gives_the_same_records_for_the_same_seed_and_each_keeps_the_reading() -> None:
    records = list(library_records(each=2, seed=5))
    assert records == list(library_records(each=2, seed=5)) != list(library_records(each=2, seed=6))
    for record in records:
        verbatim = record.messages[1][1].splitlines()[0].removeprefix("Reported: ")
        assert verbatim in record.messages[0][1]


def test_a_statement_in_words_that_no_template_knows_is_not_answered() -> None:
    assert by_statement("Sinus rhythm") == "no_template"
