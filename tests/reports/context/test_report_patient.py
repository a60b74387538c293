"""The patient's record: what is known, what is not, and whose it is."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report_worked_examples import report_of

from bedside.errors import BedsideError, SourceError
from bedside.reports.assistant import assess
from bedside.reports.model import Person
from bedside.reports.patient import PatientRecord, check_identity, read_patient
from bedside.reports.patient_yaml import record_of_yaml

ME = Person(identifiers={"ihi": "8003608166690503"}, family="Citizen", given="Alex", birth_date=date(1960, 5, 4), sex="female")


def test_unknown_is_not_none() -> None:
    nothing, empty = (
        record_of_yaml("sex: female", "p"),
        record_of_yaml("{conditions: [], medicines: none, symptoms: [], allergies: []}", "p"),
    )
    assert (nothing.conditions, nothing.medicines, nothing.symptoms, nothing.allergies) == (None, None, None, None)
    assert (empty.conditions, empty.medicines, empty.symptoms, empty.allergies) == ((), (), (), ())


@pytest.mark.parametrize(
    ("line", "name", "start", "ago"),
    [
        ("ibuprofen 400 mg tds, started 2026-10-20", "ibuprofen", date(2026, 10, 20), None),
        ("metronidazole 400 mg, started 4 days ago", "metronidazole", None, 4),
        ("erythromycin (started 2 weeks ago)", "erythromycin", None, 14),
        ("new ibuprofen", "ibuprofen", None, 0),
        ("Diamicron MR 120 mg mane", "Diamicron MR", None, None),
        ("warfarin", "warfarin", None, None),
    ],
)
def test_a_line_of_a_medicine(line: str, name: str, start: date | None, ago: int | None) -> None:
    (medicine,) = record_of_yaml(json.dumps({"medicines": [line]}), "p").medicines or ()
    assert (medicine.name, medicine.start, medicine.days_ago) == (name, start, ago)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("sex: purple", "sex"),
        ("[1, 2]", "list"),
        ("a: [", "no YAML"),
        ("x: &a [1]\ny: *a", "aliases"),
        ("results: [4.4]", "results[0]"),
        ("medicines: [{nam: x}]", "nam"),
        ("weight_kg: -3", "weight_kg"),
    ],
)
def test_a_faulty_record_names_its_fault(text: str, culprit: str) -> None:
    with pytest.raises(SourceError, match=culprit.replace("[", r"\[")):
        record_of_yaml(text, "p.yaml")


@pytest.mark.parametrize(
    "other",
    [
        {"birth_date": date(1961, 5, 4)},
        {"identifiers": {"ihi": "8003608833357361"}},
        {"identifiers": {}, "given": "Sam"},
        {"identifiers": {}, "birth_date": None, "family": "Other"},
        {"identifiers": {}, "birth_date": None, "given": "", "family": "", "sex": "male"},
    ],
)
def test_a_report_of_somebody_else_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(SourceError, match="different people"):
        check_identity(ME.model_copy(update=other), ME)


@pytest.mark.parametrize("other", [{"family": "Married"}, {"sex": "male"}, {"identifiers": {"ihi": "8003608166690503", "mrn": "7"}}])
def test_what_can_change_of_one_person_only_warns(other: dict[str, object]) -> None:
    check = check_identity(ME.model_copy(update=other), ME.model_copy(update={"identifiers": {**ME.identifiers, "mrn": "8"}}))
    assert len(check.warnings) == 1 and "birth date (1960-05-04)" in check.agrees


def test_a_wrong_patient_stops_before_anything_is_put_together() -> None:
    report = report_of({"kind": "laboratory", "findings": [["Potassium", 6.3, "mmol/L", "", "", ""]]}).model_copy(update={"patient": ME})
    with pytest.raises(SourceError, match="birth date"):
        assess([report], PatientRecord(person=ME.model_copy(update={"birth_date": date(1990, 1, 1)})))
    with pytest.raises(SourceError, match="different people"):
        assess([report, report.model_copy(update={"patient": ME.model_copy(update={"birth_date": date(1990, 1, 1)})})])


BUNDLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "resource": {
                "resourceType": "Patient",
                "gender": "female",
                "birthDate": "1950-02-01",
                "name": [{"family": "Citizen", "given": ["Pat"]}],
            }
        },
        {"resource": {"resourceType": "Condition", "code": {"text": "COPD"}, "clinicalStatus": {"coding": [{"code": "active"}]}}},
        {"resource": {"resourceType": "Condition", "code": {"text": "Gout"}, "clinicalStatus": {"coding": [{"code": "resolved"}]}}},
        {
            "resource": {
                "resourceType": "MedicationStatement",
                "status": "active",
                "medicationCodeableConcept": {"text": "Ramipril 5 mg"},
                "effectivePeriod": {"start": "2026-11"},
            }
        },
        {
            "resource": {
                "resourceType": "MedicationStatement",
                "status": "stopped",
                "medicationCodeableConcept": {"text": "Ibuprofen 400 mg"},
            }
        },
        {"resource": {"resourceType": "AllergyIntolerance", "code": {"text": "No known allergies"}}},
        {
            "resource": {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]},
                "effectiveDateTime": "2026-05-01",
                "valueQuantity": {"value": 4.4, "unit": "mmol/L"},
            }
        },
        {"resource": {"resourceType": "Coverage"}},
    ],
}


def test_a_fhir_bundle(tmp_path: Path) -> None:
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(BUNDLE))
    record = read_patient(path)
    assert [fact.text for fact in record.conditions or ()] == ["COPD"]
    assert [(medicine.name, medicine.start) for medicine in record.medicines or ()] == [("Ramipril 5 mg", date(2026, 11, 1))]
    assert (record.allergies, record.symptoms) == ((), None)
    assert [(result.code, result.value) for result in record.results] == [("2823-3", 4.4)]
    assert [problem.detail for problem in record.problems] == ["1 Coverage not read"]
    assert record.age_on(date(2026, 11, 20)) == 76


def test_a_bundle_of_two_patients_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "patient.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": BUNDLE["entry"][:1] * 2}))
    with pytest.raises(SourceError, match="2 Patient"):
        read_patient(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "coding", "text", "status", "valueQuantity", "value", "name", "component"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(
        ["Condition", "Observation", "MedicationStatement", "MedicationRequest", "Device", "AllergyIntolerance", "Patient"]
    ),
    body=st.dictionaries(
        st.sampled_from(
            [
                "code",
                "status",
                "medicationReference",
                "dosage",
                "valueQuantity",
                "component",
                "note",
                "name",
                "identifier",
                "birthDate",
                "effectivePeriod",
                "referenceRange",
            ]
        ),
        json_values,
        max_size=5,
    ),
)
def test_any_bundle_is_read_or_refused(kind: str, body: dict[str, object]) -> None:
    from bedside.reports.patient_fhir import record_of_bundle

    entries = [BUNDLE["entry"][0], {"resource": {**body, "resourceType": kind}}]
    try:
        record_of_bundle({"resourceType": "Bundle", "entry": entries}, "f")
    except BedsideError as error:
        assert "Patient" in error.problem


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abcdefmsx:[]{}-,&*!'\"#|> \n0123456789", max_size=80))
def test_any_text_is_a_record_or_a_clear_fault(text: str) -> None:
    try:
        record_of_yaml(text, "p.yaml")
    except BedsideError as error:
        assert error.next_step


def test_an_unknown_key_is_kept_as_a_note_and_named() -> None:
    record = record_of_yaml("recent_travel: Bali, dengue exposure", "p.yaml")
    assert [fact.text for fact in record.notes] == ["recent_travel: Bali, dengue exposure"]
    assert "recent_travel" in record.problems[0].detail


def test_a_result_in_one_line() -> None:
    (result,) = record_of_yaml('results: ["Potassium 4.4 mmol/L 2026-05-01"]', "p.yaml").results
    assert (result.name, result.value, result.unit, str(result.time)[:10]) == ("Potassium", 4.4, "mmol/L", "2026-05-01")
