"""Rows as valid FHIR R4 and back, and bundles of other systems."""

from __future__ import annotations

import copy
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest_bookings import Clock
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import SourceError
from bedside.phone.database import Database
from bedside.phone.diary import SqlDiary
from bedside.phone.fhir import audit_event, bundle, export, import_resources, read_resources
from bedside.phone.outbox import FileSender, Outbox
from bedside.phone.patients import Patient, Patients
from bedside.phone.practice import Practice
from bedside.phone.requests import Requests
from bedside.workspace.audit import AuditLog

REAL = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "au_fhir_testdata"
PATIENT = {
    "resourceType": "Patient",
    "id": "new",
    "name": [{"family": "Sample", "given": ["Alex", "Lee"]}],
    "birthDate": "1990-05-06",
    "gender": "other",
    "identifier": [{"system": "http://ns.electronichealth.net.au/id/medicare-number", "value": "2950341791"}],
    "telecom": [{"system": "phone", "value": "0491 570 156"}, {"system": "phone", "value": "(02) 5550 1234"}],
    "address": [{"line": ["7 Acacia Road"], "city": "Exampleton", "state": "NSW", "postalCode": "2999"}],
}
OTHERS = [
    {
        "resourceType": "Slot",
        "id": "s1",
        "schedule": {"reference": "Schedule/x"},
        "status": "free",
        "start": "2026-11-24T00:00:00Z",
        "end": "2026-11-24T00:20:00Z",
    },
    {"resourceType": "Schedule", "id": "x", "actor": [{"reference": "https://other.example/fhir/Practitioner/extern"}]},
    {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/extern"}, "code": [{"text": "nurse"}]},
    {
        "resourceType": "Practitioner",
        "id": "extern",
        "name": [{"prefix": ["Ms"], "given": ["Rae"], "family": "Example"}],
        "gender": "female",
    },
]


def filled(database: Database, practice: Practice, diary: SqlDiary, clock: Clock, folder: Path) -> None:
    """Rows of every kind and state."""
    mary = Patients(database).add(
        Patient("mary", "Example", "Mary", dt.date(1980, 2, 3), "female", "0491570006", street="1 Wattle Street", medicare="2123456701")
    )
    booked = diary.book(diary.hold(diary.find(type="long")[0], "a"), "mary", "my knee", "1")
    diary.cancel(booked.id, "better", "2")
    diary.book(diary.hold(diary.find(type="plan")[0], "b"), "mary", "", "3")
    diary.hold(diary.find(type="standard")[0], "c")
    desk = Requests(database, practice, clock)
    desk.ask("script_repeat", {"medicine": "eliquis", "dose": "five"}, call="d", key="k", patient="mary")
    desk.ask("emergency", {"symptom": "chest pain"}, call="e", key="l")
    desk.set_result("mary", "blood test", "not_seen", "system")
    outbox = Outbox(database, practice, clock)
    outbox.put("sms.call_us", mary, "m")
    outbox.deliver(FileSender(folder / "sms.jsonl"))
    outbox.put("sms.call_us", mary, "n")


def test_every_row_is_a_valid_resource(database: Database, practice: Practice, diary: SqlDiary, clock: Clock, tmp_path: Path) -> None:
    filled(database, practice, diary, clock, tmp_path)
    resources = list(export(database, practice))
    kinds = {resource["resourceType"] for resource in resources}
    assert kinds == {"Patient", "Practitioner", "PractitionerRole", "Schedule", "Slot", "Appointment", "Task", "Communication"}
    free = [resource for resource in resources if resource["resourceType"] == "Slot" and resource["status"] == "free"]
    for resource in [one for one in resources if one not in free] + free[:40]:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    held = next(one for one in resources if one["resourceType"] == "Appointment" and one["status"] == "booked")
    assert len(held["slot"]) == 3 and {actor["actor"]["reference"] for actor in held["participant"]} >= {"Patient/mary"}
    get_fhir_model_class("Bundle").model_validate(bundle(resources[:20]))


def test_what_goes_out_comes_back_the_same(database: Database, practice: Practice, diary: SqlDiary, clock: Clock, tmp_path: Path) -> None:
    filled(database, practice, diary, clock, tmp_path)
    diary_kinds = ("Patient", "Practitioner", "PractitionerRole", "Schedule", "Slot")
    out = [resource for resource in export(database, practice) if resource["resourceType"] in diary_kinds]
    out = [one for one in out if one["resourceType"] != "Slot" or one["status"] != "free"] + [
        one for one in out if one.get("status") == "free"
    ][:60]
    path = tmp_path / "out.json"
    path.write_text(json.dumps(bundle(out)), encoding="utf-8")
    other = Database(tmp_path / "other.db")
    imported = import_resources(other, practice, read_resources(path))
    assert not imported.dropped and sum(imported.kept.values()) == len(out)
    again = {(one["resourceType"], one["id"]): one for one in export(other, practice)}
    for resource in out:
        if resource.get("status") != "busy-tentative":
            assert again[resource["resourceType"], resource["id"]] == resource


def test_a_bundle_of_another_system_is_offered_to_callers_whatever_its_order(database: Database, practice: Practice, clock: Clock) -> None:
    imported = import_resources(database, practice, [*copy.deepcopy(OTHERS), copy.deepcopy(PATIENT)])
    assert not imported.dropped and imported.kept["Patient"] == 1
    twenty = practice.model_copy(
        update={"appointment_types": tuple(kind.model_copy(update={"minutes": 20}) for kind in practice.appointment_types)}
    )
    (offer,) = SqlDiary(database, twenty, clock).find(type="nurse")
    assert (offer.practitioner, offer.name) == ("extern", "Ms Rae Example")
    assert offer.start == dt.datetime(2026, 11, 24, 11, 0, tzinfo=practice.zone)
    alex = Patients(database).get("new")
    assert alex is not None and (alex.mobile, alex.landline, alex.medicare) == ("0491570156", "0255501234", "2950341791")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"birthDate": "1990"}, "has no full date of birth"),
        ({"birthDate": "the sixties"}, "not valid FHIR"),
        ({"name": [{"text": "Alex"}]}, "has no family and given name"),
        ({"id": None}, "has no id"),
        ({"resourceType": "Flag"}, "not a resource of the diary"),
    ],
)
def test_what_cannot_be_kept_is_counted_with_its_reason(
    database: Database, practice: Practice, change: dict[str, Any], reason: str
) -> None:
    resource = {name: value for name, value in {**PATIENT, **change}.items() if value is not None}
    imported = import_resources(database, practice, [resource])
    assert not imported.kept and reason in next(iter(imported.dropped))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(PATIENT)) | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([PATIENT, *OTHERS]),
    st.dictionaries(
        st.sampled_from(
            [
                "name",
                "birthDate",
                "telecom",
                "address",
                "actor",
                "start",
                "code",
                "identifier",
                "communication",
                "schedule",
                "status",
                "appointmentType",
            ]
        ),
        JSON,
        max_size=2,
    ),
)
def test_no_resource_however_broken_stops_an_import(
    database: Database, practice: Practice, base: dict[str, Any], broken: dict[str, Any]
) -> None:
    imported = import_resources(database, practice, [{**base, **broken}])
    assert sum(imported.kept.values()) + sum(imported.dropped.values()) == 1


@pytest.mark.parametrize(("name", "content"), [("a.json", "{"), ("a.jsonl", '{"resourceType": "Patient"}\n{'), ("a.json", "[" * 100_000)])
def test_files_that_are_no_json_are_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=r"a\.json.* is no JSON"):
        list(read_resources(tmp_path / name))
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_resources(tmp_path / "nothing.json"))


def test_an_audit_entry_is_a_valid_audit_event(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for entry in (log.append("call.started", call="c", line="1"), log.append("login", by="sam", ok=False, reason="password")):
        resource = audit_event(entry)
        get_fhir_model_class("AuditEvent").model_validate(resource)
    assert resource["outcome"] == "4" and resource["agent"][0]["name"] == "sam"


@pytest.mark.slow
def test_the_fictitious_australians_come_in(database: Database, practice: Practice) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no FHIR test data at {REAL}; set BEDSIDE_DATA")
    found = [resource for name in ("Patient", "Practitioner", "Bundle") for resource in read_resources(REAL / f"{name}.jsonl")]
    imported = import_resources(database, practice, found)
    patients = sum(resource["resourceType"] == "Patient" for resource in found)
    assert imported.kept["Patient"] >= 0.7 * patients and imported.kept["Practitioner"] >= 300
    reasons = {name for name in imported.dropped if name.startswith(("Patient", "Practitioner:"))}
    assert all("has no" in reason or "not valid" in reason for reason in reasons), reasons
