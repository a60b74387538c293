"""The clinic's rows as FHIR R4 resources, and resources of another system as rows.

Every row for which FHIR has a resource goes out: Patient, Practitioner, PractitionerRole, Schedule, Slot, Appointment, Task, Communication,
and entries of the audit log as AuditEvent. Patient, Practitioner, PractitionerRole, Schedule and Slot come in; each is validated first
(fhir.resources, R4B: the same as R4 for these), and what cannot be kept is counted with its reason.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from bedside.errors import SourceError
from bedside.knowledge.identifiers import identifiers, is_valid
from bedside.phone.database import Database, appointments, messages, patients, practitioners, requests, results, schedules, slots
from bedside.phone.patients import Patient, save
from bedside.phone.practice import Practice
from bedside.phone.requests import kinds
from bedside.workspace.audit import Entry
from bedside.workspace.database import AnyRow, seconds

Resource = dict[str, Any]

_MOST_BYTES = 64 << 20
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_SAME_DAY = {"coding": [{"system": f"{_TERMINOLOGY}/v2-0276", "code": "WALKIN"}], "text": "kept for the same day"}
_PRIORITY = {"routine": "routine", "today": "urgent", "emergency": "stat"}
_MESSAGE_STATUS = {"waiting": "in-progress", "sent": "completed", "failed": "stopped"}
_RESULT_STATUS = {"not_seen": "received", "seen": "completed"}
_ROLES = ("gp", "nurse", "allied")


@dataclass(slots=True)
class Imported:
    """What came in, by type of resource, and what did not, by type and reason."""

    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where imported rows go: one transaction."""

    database: Database
    connection: Connection
    practice: Practice


class _Unusable(Exception):  # noqa: N818 - it ends one resource and becomes a count
    """A resource that has no row, with the reason."""


def export(database: Database, practice: Practice) -> Iterator[Resource]:
    """Every row as a resource; moments have the practice's offset."""
    zone = practice.zone
    with database.reading() as connection:
        held: dict[str, list[str]] = {}
        for row in connection.execute(select(slots.c.appointment, slots.c.id).where(slots.c.appointment.is_not(None))):
            held.setdefault(row.appointment, []).append(row.id)
        for table, make in (
            (patients, _patient),
            (practitioners, _practitioner),
            (practitioners, _role),
            (schedules, _schedule),
            (slots, lambda row: _slot(row, zone)),
            (appointments, lambda row: _appointment(row, zone, held.get(row.id, []))),
            (requests, lambda row: _task(row, zone)),
            (results, lambda row: _result(row, zone)),
            (messages, lambda row: _communication(row, zone)),
        ):
            for row in connection.execute(select(table)):
                yield make(row)


def bundle(resources: Iterable[Resource]) -> Resource:
    """Resources as a collection."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": resource} for resource in resources]}


def audit_event(entry: Entry) -> Resource:
    """An entry of the audit log as AuditEvent; its number and hash stay with it."""
    details = {"seq": entry.seq, "hash": entry.hash, **entry.data}
    shown = [{"type": name, "valueString": str(value)} for name, value in details.items() if value not in (None, "", [], ())]
    return {
        "resourceType": "AuditEvent",
        "id": f"audit-{entry.seq}",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110100", "display": "Application Activity"},
        "subtype": [{"code": entry.kind}],
        "action": "E",
        "recorded": entry.at.isoformat(),
        "outcome": "4" if entry.data.get("ok") is False else "0",
        "agent": [{"name": str(entry.data.get("by", "bedside")), "requestor": "by" in entry.data}],
        "source": {"observer": {"display": "bedside"}},
        "entity": [{"description": entry.kind, "detail": shown}],
    }


def read_resources(path: Path) -> Iterator[Resource]:
    """The resources of a JSON file (one resource or a Bundle) or of a JSON Lines file, those of Bundles one by one.

    Raises:
        SourceError: the file is missing, too large, or no JSON; the line is named.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{str(path)!r} is larger than {_MOST_BYTES >> 20} MiB", "Split it into files of JSON Lines")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{str(path)!r} cannot be read as UTF-8 text ({error})", "Correct its name, permissions or encoding") from error
    if path.suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield from _resources(_json(line, f"{path.name} line {number}"))
    else:
        yield from _resources(_json(text, path.name))


def import_resources(database: Database, practice: Practice, resources: Iterable[Resource]) -> Imported:
    """Keep Patients, Practitioners, PractitionerRoles, Schedules and Slots, whatever their order; slots that are there already stay as they are.

    Raises:
        DatabaseError: the database cannot be used.
    """
    imported = Imported()
    sorted_out: dict[str, list[Resource]] = {name: [] for name in _KEEPERS}
    for resource in resources:
        kind = str(resource.get("resourceType"))[:40]
        if kind in sorted_out:
            sorted_out[kind].append(resource)
        else:
            imported.dropped[f"{kind}: not a resource of the diary"] += 1
    with database.writing() as connection:
        target = _Target(database, connection, practice)
        for kind, resource in ((kind, resource) for kind, found in sorted_out.items() for resource in found):
            try:
                _KEEPERS[kind](target, _valid(kind, resource))
                imported.kept[kind] += 1
            except _Unusable as reason:
                imported.dropped[f"{kind}: {reason}"] += 1
    return imported


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} is no JSON ({error})", "Export it again") from error


def _resources(value: Any) -> Iterator[Resource]:
    if not isinstance(value, dict):
        yield {"resourceType": type(value).__name__}
    elif value.get("resourceType") == "Bundle":
        entries = value.get("entry")
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get("resource") if isinstance(entry, dict) else None
            yield inner if isinstance(inner, dict) else {"resourceType": "entry without resource"}
    else:
        yield value


def _valid(kind: str, resource: Resource) -> Resource:
    """The resource as FHIR has it: nothing of another type, and no empty values."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        model = get_fhir_model_class(kind).model_validate(resource)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _Unusable(f"not valid FHIR ({'.'.join(map(str, first['loc']))}: {first['msg'][:80]})") from error
    valid: Resource = json.loads(model.model_dump_json())
    if "id" not in valid:
        raise _Unusable("has no id")
    return valid


def _keep_patient(target: _Target, resource: Resource) -> None:
    name = next((name for name in resource.get("name", []) if name.get("family") and any(name.get("given", []))), None)
    if name is None:
        raise _Unusable("has no family and given name")
    if len(str(resource.get("birthDate", ""))) != 10:
        raise _Unusable("has no full date of birth")
    numbers = [re.sub(r"[\s()-]", "", str(telecom.get("value", ""))) for telecom in resource.get("telecom", [])]
    address: Resource = next(iter(resource.get("address", [])), {})
    system = identifiers()["id.medicare"].system
    cards = [str(one.get("value")) for one in resource.get("identifier", []) if one.get("system") == system]
    postcode = str(address.get("postalCode", ""))
    save(
        target.database,
        target.connection,
        Patient(
            id=resource["id"],
            family=name["family"][:100],
            given=" ".join(filter(None, name["given"]))[:200],
            born=dt.date.fromisoformat(resource["birthDate"]),
            gender=resource.get("gender"),
            mobile=next((number for number in numbers if is_valid("id.mobile", number)), None),
            landline=next((number for number in numbers if is_valid("id.landline", number)), None),
            street=next(filter(None, address.get("line", [])), "")[:200] or None,
            suburb=str(address.get("city", ""))[:100] or None,
            state=address.get("state") if len(str(address.get("state", ""))) in (2, 3) else None,
            postcode=postcode if len(postcode) == 4 else None,
            medicare=next((card for card in cards if is_valid("id.medicare", card)), None),
            active=resource.get("active", True) and not resource.get("deceasedBoolean") and not resource.get("deceasedDateTime"),
        ),
    )


def _keep_practitioner(target: _Target, resource: Resource) -> None:
    name: Resource = next(iter(resource.get("name", [])), {})
    parts = [*name.get("prefix", []), *name.get("given", []), name.get("family", "")]
    written = name.get("text") or " ".join(part for part in parts if part)
    if not written:
        raise _Unusable("has no name")
    codes = [coding.get("code") for spoken in resource.get("communication", []) for coding in spoken.get("coding", [])]
    row = {"id": resource["id"], "name": written[:200], "gender": resource.get("gender", "unknown")}
    row |= {"languages": [code.partition("-")[0] for code in codes if code], "active": int(resource.get("active", True))}
    target.database.insert_new(target.connection, practitioners, [{**row, "role": "gp"}])
    target.connection.execute(update(practitioners).where(practitioners.c.id == row["id"]).values(**row))


def _keep_role(target: _Target, resource: Resource) -> None:
    words = {str(code.get("text", "")).lower() for code in resource.get("code", [])}
    role = next((role for role in _ROLES if role in words), None)
    if role is None:
        raise _Unusable(f"its code is none of {', '.join(_ROLES)}")
    practitioner = _id_of(resource.get("practitioner"))
    if target.connection.execute(update(practitioners).where(practitioners.c.id == practitioner).values(role=role)).rowcount == 0:
        raise _Unusable("its practitioner is not there")


def _keep_schedule(target: _Target, resource: Resource) -> None:
    actors = [_id_of(actor) for actor in resource.get("actor", [])]
    known = target.connection.scalar(select(practitioners.c.id).where(practitioners.c.id.in_(actors)))
    if known is None:
        raise _Unusable("none of its actors is a practitioner who is there")
    row = {"id": resource["id"], "practitioner": known, "active": int(resource.get("active", True))}
    target.database.insert_new(target.connection, schedules, [row])


def _keep_slot(target: _Target, resource: Resource) -> None:
    start, end = (dt.datetime.fromisoformat(resource[name]).astimezone(target.practice.zone) for name in ("start", "end"))
    if end <= start:
        raise _Unusable("ends before it begins")
    if resource["status"] == "entered-in-error":
        raise _Unusable("was entered in error")
    status = "busy" if resource["status"] == "busy-tentative" else resource["status"]  # whose hold it was is not known here
    codes = [coding.get("code") for coding in resource.get("appointmentType", {}).get("coding", [])]
    row = {"id": resource["id"], "schedule": _id_of(resource["schedule"]), "start": seconds(start), "end": seconds(end), "status": status}
    row |= {"day": start.date().isoformat(), "minute": start.hour * 60 + start.minute, "same_day": int("WALKIN" in codes)}
    if target.connection.scalar(select(schedules.c.id).where(schedules.c.id == row["schedule"])) is None:
        raise _Unusable("its schedule is not there")
    target.database.insert_new(target.connection, slots, [row])


_KEEPERS: dict[str, Callable[[_Target, Resource], None]] = {
    "Patient": _keep_patient,
    "Practitioner": _keep_practitioner,
    "PractitionerRole": _keep_role,
    "Schedule": _keep_schedule,
    "Slot": _keep_slot,
}
"""In the order in which they refer to each other."""


def _id_of(reference: Any) -> str:
    return str((reference or {}).get("reference", "")).rpartition("/")[2].rpartition(":")[2]


def _reference(kind: str, name: str | None) -> Resource:
    return {"reference": f"{kind}/{name}"}


def _at(moment: int, zone: dt.tzinfo) -> str:
    return dt.datetime.fromtimestamp(moment, zone).isoformat()


def _without_nothing(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if value not in (None, [], {}, "")}


def _patient(row: AnyRow) -> Resource:
    phones = [{"system": "phone", "use": use, "value": value} for use, value in (("mobile", row.mobile), ("home", row.landline)) if value]
    card = [{"system": identifiers()["id.medicare"].system, "value": row.medicare}] if row.medicare else []
    lines = [row.street] if row.street else []
    address = _without_nothing({"line": lines, "city": row.suburb, "state": row.state, "postalCode": row.postcode})
    return _without_nothing(
        {
            "resourceType": "Patient",
            "id": row.id,
            "active": bool(row.active),
            "identifier": card,
            "name": [{"family": row.family, "given": row.given.split()}],
            "gender": row.gender,
            "birthDate": row.born,
            "telecom": phones,
            "address": [address] if address else [],
        }
    )


def _practitioner(row: AnyRow) -> Resource:
    spoken = [{"coding": [{"system": "urn:ietf:bcp:47", "code": code}]} for code in row.languages]
    resource = {"resourceType": "Practitioner", "id": row.id, "active": bool(row.active), "name": [{"text": row.name}]}
    return _without_nothing({**resource, "gender": row.gender, "communication": spoken})


def _role(row: AnyRow) -> Resource:
    resource = {"resourceType": "PractitionerRole", "id": f"role-{row.id}"[:64], "active": bool(row.active)}
    return {**resource, "practitioner": _reference("Practitioner", row.id), "code": [{"text": row.role}]}


def _schedule(row: AnyRow) -> Resource:
    actor = [_reference("Practitioner", row.practitioner)]
    return {"resourceType": "Schedule", "id": row.id, "active": bool(row.active), "actor": actor}


def _slot(row: AnyRow, zone: dt.tzinfo) -> Resource:
    resource = {"resourceType": "Slot", "id": row.id, "schedule": _reference("Schedule", row.schedule), "status": row.status}
    kept = {"appointmentType": _SAME_DAY} if row.same_day else {}
    return {**resource, "start": _at(row.start, zone), "end": _at(row.end, zone), **kept}


def _appointment(row: AnyRow, zone: dt.tzinfo, held: list[str]) -> Resource:
    state = "accepted" if row.status == "booked" else "needs-action" if row.status == "pending" else "declined"
    actors = [("Practitioner", row.practitioner), ("Patient", row.patient)]
    return _without_nothing(
        {
            "resourceType": "Appointment",
            "id": row.id,
            "status": row.status,
            "cancelationReason": {"text": row.cancelled_because} if row.cancelled_because else None,
            "serviceType": [{"text": row.type}],
            "reasonCode": [{"text": row.reason}] if row.reason else [],
            "start": _at(row.start, zone),
            "end": _at(row.end, zone),
            "minutesDuration": (row.end - row.start) // 60,
            "slot": [_reference("Slot", name) for name in sorted(held)],
            "created": _at(row.created, zone),
            "participant": [{"actor": _reference(kind, name), "status": state} for kind, name in actors if name],
        }
    )


def _task(row: AnyRow, zone: dt.tzinfo) -> Resource:
    return _without_nothing(
        {
            "resourceType": "Task",
            "id": row.id,
            "identifier": [{"system": "urn:bedside:key", "value": row.key}],
            "status": row.status,
            "intent": "order",
            "priority": _PRIORITY[row.priority],
            "code": {"text": row.kind},
            "description": kinds()[row.kind].about,
            "for": _reference("Patient", row.patient) if row.patient else None,
            "authoredOn": _at(row.created, zone),
            "lastModified": _at(row.updated, zone),
            "owner": {"display": row.owner},
            "reasonCode": {"text": ", ".join(row.rules)} if row.rules else None,
            "note": [{"text": row.note}] if row.note else [],
            "restriction": {"period": {"end": _at(row.due, zone)}},
            "input": [{"type": {"text": name}, "valueString": value} for name, value in row.slots.items() if value.strip()],
        }
    )


def _result(row: AnyRow, zone: dt.tzinfo) -> Resource:
    resource = {"resourceType": "Task", "id": row.id, "status": _RESULT_STATUS[row.state], "intent": "order"}
    resource |= {"code": {"text": "result"}, "description": row.test, "for": _reference("Patient", row.patient)}
    return {**resource, "lastModified": _at(row.updated, zone), "owner": {"display": row.updated_by}}


def _communication(row: AnyRow, zone: dt.tzinfo) -> Resource:
    return _without_nothing(
        {
            "resourceType": "Communication",
            "id": row.id,
            "identifier": [{"system": "urn:bedside:key", "value": row.key}],
            "status": _MESSAGE_STATUS[row.status],
            "statusReason": {"text": row.fault} if row.fault else None,
            "medium": [{"text": "SMS"}],
            "subject": _reference("Patient", row.patient),
            "sent": _at(row.sent, zone) if row.sent else None,
            "payload": [{"contentString": row.body}],
        }
    )
