"""Reports become pairs that keep the report's words, name their place, and neither dose nor reassure."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.corpus.pairs import library_pairs, pairs, read
from bedside.corpus.pairs.library import by_statement, measures, templates
from bedside.corpus.sources import BadRecord
from bedside.corpus.unsafe import unsafe
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

HL7 = "\r".join(
    (
        r"MSH|^~\&|LAB|X|||20260101||ORU^R01|1|P|2.4",
        "PID|1||2950341791^^^AUSHIC^MC||TESTPERSON^ALEX",
        "OBR|1",
        "OBX|1|NM|2823-3^Potassium^LN||5.0|mmol/L|3.5-5.2||||F",
        "OBX|2|NM|2823-3^Potassium^LN||6.6|mmol/L|3.5-5.2|HH|||F",
        "OBX|2|NM|2823-3^Potassium^LN||6.8|mmol/L|3.5-5.2|HH|||C",
        "OBX|3|NM|2345-7^Glucose^LN||450|mg/dL|||||F",
        r"OBX|4|ST|x^Rhythm^L||Atrial fibrillation \T\ artefact||||||F",
        "OBX|5|NM|2951-2^Sodium^LN||118|mmol/L|135-145||||X",
        "",
    )
)


def templates_of(path: Path, ledger: DropLedger | None = None) -> list[str]:
    return [
        pair.labels["template"]
        for pair in pairs(path, name="s", licence="own", ledger=ledger or DropLedger())
        if pair.provenance.where.endswith(":question")
    ]


def test_hl7_results_are_answered_by_threshold_unit_statement_and_status(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_bytes(HL7.encode())
    ledger = DropLedger()
    assert templates_of(tmp_path / "oru.hl7", ledger) == ["interval.within", "lab.potassium.critical", "lab.glucose.very_high", "ecg.af"]
    assert ledger.counts() == {"sources/dropped/superseded": 1, "sources/dropped/cancelled": 1}


def test_every_pair_names_the_characters_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_bytes(HL7.encode())
    for pair in pairs(tmp_path / "oru.hl7", name="s", licence="own", ledger=DropLedger()):
        span = pair.labels["span"]
        assert HL7[span["start"] : span["end"]].startswith("OBX|")
        assert "6.6" not in pair.messages[1].content


def test_the_reports_own_words_stand_first_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("test;result;unit;range\nQTc;505;ms;\n")
    pair = next(pairs(tmp_path / "a.csv", name="s", licence="own", ledger=DropLedger()))
    assert pair.messages[1].content.startswith("Reported: QTc 505 ms\n")


def test_an_interval_that_came_with_the_value_goes_before_our_threshold_but_not_before_an_alert(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("test,value,unit,range\nK,5.4,mmol/L,3.5-5.5\nK,5.4,mmol/L,\nK,6.6,mmol/L,3.5-7.0\n")
    assert templates_of(tmp_path / "a.csv") == ["interval.within", "lab.potassium.high", "lab.potassium.critical"]


def test_no_unit_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("test,value,unit\nK,6.6,\nK,6.6,furlong\nK,6.6,mmol/L\n")
    ledger = DropLedger()
    assert templates_of(tmp_path / "a.csv", ledger) == ["lab.potassium.critical"]
    assert ledger.counts() == {"sources/dropped/no_unit": 1, "sources/dropped/unknown_unit": 1}


def test_fhir_observations_components_and_conclusions(tmp_path: Path) -> None:
    loinc = "http://loinc.org"
    pressure = {
        "code": {"coding": [{"system": loinc, "code": "8480-6"}], "text": "Systolic"},
        "valueQuantity": {"value": 190, "unit": "mm[Hg]"},
    }
    entries = [
        {"resourceType": "Observation", "status": "final", "code": {"text": "Blood pressure"}, "component": [pressure]},
        {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "ECG"},
            "result": [{"display": "QTc 492 ms"}],
            "conclusion": "Prolonged QTc.",
        },
        {"resourceType": "Observation", "status": "entered-in-error", "code": {"text": "K"}, "valueQuantity": {"value": 9}},
        {"resourceType": "Observation", "status": "final", "code": 7, "valueString": "x"},
    ]
    text = json.dumps({"resourceType": "Bundle", "entry": [{"resource": entry} for entry in entries]})
    (tmp_path / "b.json").write_text(text)
    ledger = DropLedger()
    found = list(pairs(tmp_path / "b.json", name="s", licence="own", ledger=ledger))
    assert {pair.labels["template"] for pair in found} == {"home.very_high", "source"}
    assert (
        next(pair for pair in found if pair.labels["template"] == "source").messages[1].content.endswith("Interpretation: Prolonged QTc.")
    )
    assert {json.loads(text[pair.labels["span"]["start"] : pair.labels["span"]["end"]])["resourceType"] for pair in found} == {
        "Observation",
        "DiagnosticReport",
    }
    assert ledger.counts() == {"sources/dropped/cancelled": 1, "sources/dropped/bad_fhir": 1}


def test_text_sections_are_paired_with_the_experts_own_impression(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("Indication: cough\nFindings: FEV1/FVC z -2.1.\nImpression: Obstruction.\n")
    pair = next(pairs(tmp_path / "r.txt", name="s", licence="own", ledger=DropLedger()))
    assert pair.messages[1].content == "Reported: Findings: FEV1/FVC z -2.1.\nInterpretation: Obstruction."


def test_device_lines_are_read_reading_by_reading(tmp_path: Path) -> None:
    (tmp_path / "d.log").write_text("2026-01-01 08:00 HR 44 /min; QTc 492 ms\nNormal ECG\n")
    assert templates_of(tmp_path / "d.log") == ["ecg.rate.low", "ecg.qtc.long", "ecg.normal"]


def test_a_file_with_other_columns_is_refused_with_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("colour,size\nred,3\n")
    with pytest.raises(SourceError, match="no column for the name; found colour, size"):
        list(pairs(tmp_path / "a.csv", name="s", licence="own", ledger=DropLedger()))


def test_the_library_covers_every_kind_of_device_with_at_least_sixty_templates() -> None:
    assert len(templates()) >= 60
    assert {template.device for template in templates()} == {"ecg", "abpm", "spirometry", "cgm", "oximetry", "laboratory"} | {"home"} - {
        "home"
    }
    assert {template.measure for template in templates() if template.measure} <= measures().keys()


def test_no_template_doses_reassures_or_advertises() -> None:
    for template in templates():
        answer = template.written("Reported in words")
        assert [finding for finding in unsafe("", answer, day=date(2026, 11, 22)) if finding.action == "drop"] == [], template.id
        assert not {"worry", "fine", "harmless", "reassur"} & set(answer.lower().split()), template.id


def test_an_invented_reading_is_answered_by_the_template_that_it_was_made_for(tmp_path: Path) -> None:
    for pair in library_pairs(each=2, seed=3):
        verbatim = pair.messages[1].content.splitlines()[0].removeprefix("Reported: ")
        (tmp_path / "x.log").write_text(verbatim)
        found = [record for record in read(tmp_path / "x.log") if not isinstance(record, BadRecord)]
        assert found and found[0].labels["template"] == pair.labels["template"], verbatim


def test_the_library_gives_the_same_pairs_for_the_same_seed() -> None:
    assert [pair.hash for pair in library_pairs(each=2, seed=5)] == [pair.hash for pair in library_pairs(each=2, seed=5)]


def test_a_statement_in_words_that_no_template_knows_is_not_answered() -> None:
    assert by_statement("Sinus rhythm") == "no_template"


@given(
    st.sampled_from([".hl7", ".json", ".jsonl", ".csv", ".txt"]),
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(HL7)), st.integers(0, len(HL7)), st.text(max_size=5)).map(lambda cut: (HL7[: cut[0]] + cut[2] + HL7[cut[1] :]).encode("utf-8", "replace")),
        st.text(alphabet='{}[]":,resourceType0 Observationvalue\n', max_size=120).map(str.encode),
    ),
)  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_costs_records_and_never_the_run(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    for record in read(path):
        if not isinstance(record, BadRecord):
            span = record.labels["span"]
            assert 0 <= span["start"] < span["end"] <= len(content.decode("utf-8-sig"))
