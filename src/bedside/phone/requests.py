"""What callers ask of staff: scripts, referrals, messages and the rest, as rows that become FHIR Tasks. The line promises nothing.

Policies of the line hold here once more, whatever the conversation did: M-1 (monitored medicines never go through as a plain repeat), M-2
(medicines that must not run out are for today), M-3 (no dose is read back), M-4 (words of a red flag make any request urgent).
Results are a state only: there is no place in which a value could be kept.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict
from sqlalchemy import and_, case, insert, select, true, update

from bedside.errors import BedsideError
from bedside.knowledge.dispositions import dispositions
from bedside.phone.database import Database, requests, results
from bedside.phone.practice import Practice
from bedside.safety.medicines import is_critical_supply, monitored
from bedside.safety.triage import triage
from bedside.workspace.database import AnyRow, seconds, utc_now

Priority = Literal["routine", "today", "emergency"]
Owner = Literal["reception", "nurse", "doctor", "manager"]
Status = Literal["requested", "in-progress", "completed", "rejected", "cancelled"]
ResultState = Literal["none", "not_seen", "seen"]
"""No result has come; one has come and no doctor has looked at it; a doctor has."""

_RANK: dict[Priority, int] = {"routine": 0, "today": 1, "emergency": 2}
_HOURS: dict[Priority, float] = {"today": 2, "emergency": 0}
_URGENT: dict[Priority, str] = {"emergency": "NURSE_NOW", "today": "SAME_DAY"}
"""The disposition from which on a red flag gives a request that priority."""
_LONGEST_SLOT = 500
_MOST_READ = 8 * _LONGEST_SLOT
"""Letters in which red flags are looked for; a call's words were all read before, turn by turn."""
_UNSPOKEN = frozenset({"dose", "severity", "symptom", "reason", "claim_number"})
"""Slots that are never read back: M-3, and what somebody beside the phone should not hear."""


class RequestError(BedsideError):
    """A request for staff cannot be kept or changed as asked."""


class Kind(BaseModel):
    """One kind of request; the fields are explained at the top of `request_kinds.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    owner: Owner
    priority: Priority
    hours: float
    about: str


@cache
def kinds() -> dict[str, Kind]:
    """All kinds of requests by id."""
    content = yaml.safe_load(files("bedside.phone").joinpath("request_kinds.yaml").read_text(encoding="utf-8"))
    return {kind.id: kind for kind in map(Kind.model_validate, content["kinds"])}


@dataclass(frozen=True, slots=True)
class Request:
    """Something that staff are asked to do.

    Attributes:
        kind: see `request_kinds.yaml`.
        slots: the caller's own words.
        rules: red flags and policies that decided the priority.
        due: when it is late.
        shortened: slots of which only the beginning was kept.
    """

    id: str
    kind: str
    priority: Priority
    owner: Owner
    status: Status
    patient: str | None
    caller: str
    call: str
    slots: dict[str, str]
    rules: tuple[str, ...]
    created: dt.datetime
    due: dt.datetime
    updated_by: str | None = None
    note: str | None = None
    shortened: tuple[str, ...] = ()

    @property
    def readable(self) -> dict[str, str]:
        """The slots that the line may read back (M-3)."""
        return {name: value for name, value in self.slots.items() if name not in _UNSPOKEN}


class Requests:
    """The requests of a practice.

    Args:
        database: where they are.
        practice: its state decides which medicines are monitored; its protocol adds red flags.
        now: the clock.
    """

    def __init__(self, database: Database, practice: Practice, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._database = database
        self._practice = practice
        self._now = now

    def ask(
        self,
        kind: str,
        slots: Mapping[str, str],
        *,
        call: str,
        key: str,
        patient: str | None = None,
        caller: str = "",
        priority: Priority = "routine",
        rules: Iterable[str] = (),
    ) -> Request:
        """Leave a request for staff. The same key again gives the request that was left.

        Args:
            kind: of `request_kinds.yaml`; another is kept as `other` with its name in the slot `kind`.
            slots: the caller's own words by slot of the catalogue; `medicine` may name several, parted by ";".
            priority: raised by the kind, by M-2 and M-4; never lowered.
            rules: what already decided.

        Raises:
            DatabaseError: the database cannot be used, or there is no such patient.
        """
        said = dict(slots) if kind in kinds() else {**slots, "kind": kind}
        kept = {name: value[:_LONGEST_SLOT] for name, value in said.items() if value}
        chosen, highest, decided = self._judged(kind, kept, ". ".join(slots.values()), priority, rules)
        now = self._now()
        due = now + dt.timedelta(hours=min(chosen.hours, _HOURS.get(highest, chosen.hours)))
        shortened = tuple(name for name, value in said.items() if len(value) > _LONGEST_SLOT)
        note = f"only the first {_LONGEST_SLOT} letters were kept of: {', '.join(shortened)}" if shortened else None
        row: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "key": key,
            "kind": chosen.id,
            "priority": highest,
            "owner": chosen.owner,
            "status": "requested",
        }
        row |= {"patient": patient, "caller": caller, "call": call, "slots": kept, "rules": list(decided), "note": note}
        row |= {"created": seconds(now), "due": seconds(due), "updated": seconds(now), "updated_by": None}
        with self._database.writing() as connection:
            before = connection.execute(select(requests).where(requests.c.key == key)).first()
            if before is None:
                connection.execute(insert(requests), row)
                before = connection.execute(select(requests).where(requests.c.key == key)).one()
        return self._request(before, shortened)

    def waiting(self, owner: Owner | None = None) -> list[Request]:
        """What is not done yet, the most urgent and then the longest due first."""
        theirs = true() if owner is None else requests.c.owner == owner
        open_ones = and_(requests.c.status.in_(["requested", "in-progress"]), theirs)
        urgent = case(dict(_RANK), value=requests.c.priority)
        with self._database.reading() as connection:
            rows = connection.execute(select(requests).where(open_ones).order_by(urgent.desc(), requests.c.due)).all()
        return [self._request(row) for row in rows]

    def update(self, request: str, status: Status, by: str, note: str | None = None) -> Request:
        """Staff go on with a request.

        Raises:
            RequestError: there is no such request.
        """
        changed = {"status": status, "updated_by": by, "updated": seconds(self._now())} | ({"note": note} if note else {})
        with self._database.writing() as connection:
            connection.execute(update(requests).where(requests.c.id == request).values(**changed))
            row = connection.execute(select(requests).where(requests.c.id == request)).first()
        if row is None:
            raise RequestError(f"there is no request {request!r}", "List those that wait")
        return self._request(row)

    def set_result(self, patient: str, test: str, state: Literal["not_seen", "seen"], by: str) -> None:
        """Staff, or their system, say that a result has come, and whether a doctor has looked at it."""
        now = seconds(self._now())
        row = {"id": str(uuid.uuid4()), "patient": patient, "test": test, "state": state, "updated": now, "updated_by": by}
        with self._database.writing() as connection:
            same = and_(results.c.patient == patient, results.c.test == test)
            if connection.execute(update(results).where(same).values(state=state, updated=now, updated_by=by)).rowcount == 0:
                connection.execute(insert(results), row)

    def result_state(self, patient: str, test: str = "") -> ResultState:
        """Whether a doctor has looked at a patient's results: all those whose name has a word of `test`, or all where none has."""
        with self._database.reading() as connection:
            rows = connection.execute(select(results.c.test, results.c.state).where(results.c.patient == patient)).all()
        words = set(test.lower().split())
        asked = [row for row in rows if words & set(row.test.lower().split())] or rows
        if not asked:
            return "none"
        return "seen" if all(row.state == "seen" for row in asked) else "not_seen"

    def _judged(
        self, kind: str, slots: Mapping[str, str], said: str, priority: Priority, rules: Iterable[str]
    ) -> tuple[Kind, Priority, tuple[str, ...]]:
        """The kind under which a request is kept, its priority, and all rules that decided."""
        names = slots.get("medicine", "").split(";") if kind.startswith("script") else []
        found = (*medicine_rules(names, self._practice.state), *self._red_flags(said))
        decided = tuple(dict.fromkeys((*rules, *(rule for rule, _ in found))))
        chosen = kinds().get("script_monitored" if kind == "script_repeat" and _is_monitored(decided) else kind, kinds()["other"])
        return chosen, max((priority, chosen.priority, *(to for _, to in found)), key=_RANK.__getitem__), decided

    def _red_flags(self, said: str) -> Iterable[tuple[str, Priority]]:
        """M-4: rules that fire on the caller's words, and how urgent they make the request."""
        today = self._now().astimezone(self._practice.zone).date()
        for flag in triage(said[:_MOST_READ], day=today, protocol=self._practice.protocol_on(today)).red_flags:
            level = dispositions()[flag.disposition].level
            at_least = [priority for priority, name in _URGENT.items() if level >= dispositions()[name].level]
            yield flag.id, at_least[0] if at_least else "routine"

    def _request(self, row: AnyRow, shortened: tuple[str, ...] = ()) -> Request:
        values = {name: value for name, value in row._mapping.items() if name not in ("key", "updated")}
        zone = self._practice.zone
        moments = {name: dt.datetime.fromtimestamp(values[name], zone) for name in ("created", "due")}
        return Request(**{**values, **moments, "rules": tuple(values["rules"])}, shortened=shortened)


def _is_monitored(rules: Iterable[str]) -> bool:
    """Whether M-1 applies, for the medicine (`M-1`) or for an early, lost, stolen or larger supply (`M-1.early`)."""
    return any(rule.partition(".")[0] == "M-1" for rule in rules)


def medicine_rules(names: Iterable[str], state: str) -> tuple[tuple[str, Priority], ...]:
    """The policies that apply to a script for these medicines: M-1 for a monitored one, M-2, with today, for one that must not run out."""
    asked = [name.strip() for name in names if name.strip()]
    found: list[tuple[str, Priority]] = []
    if any(monitored(name, state)[0] for name in asked):
        found.append(("M-1", "routine"))
    if any(is_critical_supply(name) for name in asked):
        found.append(("M-2", "today"))
    return tuple(found)
