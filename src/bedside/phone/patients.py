"""Patients, and how a caller shows that they are one of them.

Three identifiers have to match: the name as it sounds, the date of birth, and one more. The answer, its wording and the work done are the
same whether such a person exists or not, so that nobody learns from a failure who is a patient here (project source book 5.3 and 4.5).
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rapidfuzz.distance import JaroWinkler
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from bedside.knowledge.identifiers import is_valid
from bedside.phone.database import Database, caller_failures, identity_failures, patients
from bedside.phone.practice_parts import IdentityCheck
from bedside.safety.spelling import sound
from bedside.workspace.database import AnyRow, utc_now

Third = Literal["medicare", "mobile", "street", "postcode"]

_ALIKE = 0.92
"""Jaro-Winkler similarity from which two spellings are one name."""
_ALIKE_IN_SOUND = 0.75
"""The same for two names that also sound alike ("Catherine", "Kathryn")."""
_UNHEARD_R = re.compile(r"r(?![aeiouy])")
_BORN = select(patients).where(patients.c.born == bindparam("on_day"), patients.c.active == 1)
_OF_CALLER = select(caller_failures.c.failures).where(caller_failures.c.caller == bindparam("of_caller"))
_CALLER_FAILED = update(caller_failures).where(caller_failures.c.caller == bindparam("of_caller")).values(failures=bindparam("now_failed"))
_DAY_S = 24 * 60 * 60
_FAILURES = select(identity_failures.c.failures).where(identity_failures.c.call == bindparam("of_call"))
_FAILED = update(identity_failures).where(identity_failures.c.call == bindparam("of_call")).values(failures=bindparam("now_failed"))


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient.

    Attributes:
        born: date of birth.
        medicare: card number without spaces, with its reference number where it is known.
        sms: text messages may be sent; False also where somebody else reads the phone.
    """

    id: str
    family: str
    given: str
    born: dt.date
    gender: str | None = None
    mobile: str | None = None
    landline: str | None = None
    street: str | None = None
    suburb: str | None = None
    state: str | None = None
    postcode: str | None = None
    medicare: str | None = None
    sms: bool = True
    active: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a caller says they are, with the third identifiers that they gave, as understood."""

    given: str
    family: str
    born: dt.date
    medicare: str | None = None
    mobile: str | None = None
    street: str | None = None
    postcode: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What came of a claim.

    Attributes:
        outcome: `matched`, `not_matched` (for whatever reason), or `locked` after too many failures of the call or of its calling number:
            it goes to a person.
        patient: who it is, where matched.
        third: the identifier that matched beside name and date of birth; what the audit log may hold, the value being left out.
    """

    outcome: Literal["matched", "not_matched", "locked"]
    patient: Patient | None = None
    third: Third | None = None


class Patients:
    """The patients of a practice.

    Args:
        database: where they are.
        check: what counts as third identifier, and how many failures a call and a calling number may have.
        now: the clock, in UTC.
    """

    def __init__(self, database: Database, check: IdentityCheck | None = None, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._database = database
        self._check = check or IdentityCheck()
        self._now = now

    def add(self, patient: Patient) -> Patient:
        """Keep a patient; one without an id is given one. A patient whose id is known already is replaced."""
        kept = patient if patient.id else Patient(**{**asdict(patient), "id": str(uuid.uuid4())})
        with self._database.writing() as connection:
            save(self._database, connection, kept)
        return kept

    def get(self, patient_id: str) -> Patient | None:
        """The patient of that id."""
        with self._database.reading() as connection:
            row = connection.execute(select(patients).where(patients.c.id == patient_id)).first()
        return _patient_of(row) if row else None

    def identify(self, claim: Claim, call: str, caller: str = "") -> Identity:
        """Who the caller is. Every claim costs the same work, and each failure counts against the call and the calling number.

        Args:
            caller: the calling number; those who withhold theirs are counted call by call only.

        Raises:
            DatabaseError: the database cannot be used.
        """
        with self._database.writing(durable=False) as connection:
            failures = connection.scalar(_FAILURES, {"of_call": call})
            if failures is None:
                connection.execute(insert(identity_failures), {"call": call, "failures": 0})
            born = connection.execute(_BORN, {"on_day": claim.born.isoformat()}).all()
            matches = [(row, third) for row in (_NOBODY, *map(_patient_of, born)) if (third := self._third(claim, row))]
            of_caller = self._failures_of(connection, caller)
            locked = (failures or 0) >= self._check.attempts or of_caller >= self._check.caller_attempts
            found = len(matches) == 1 and not locked  # two of one birth day who both match, such as twins, are for a person to tell apart
            connection.execute(_FAILED, {"of_call": call, "now_failed": (failures or 0) + (not found)})
            connection.execute(_CALLER_FAILED, {"of_caller": caller, "now_failed": of_caller + (not found and bool(caller))})
        if locked:
            return Identity("locked")
        return Identity("matched", *matches[0]) if found else Identity("not_matched")

    def _failures_of(self, connection: Connection, caller: str) -> int:
        """Failures of a calling number within a day of the first; those before are forgotten."""
        now = int(self._now().timestamp())
        connection.execute(delete(caller_failures).where(caller_failures.c.since <= now - _DAY_S))
        self._database.insert_new(connection, caller_failures, [{"caller": caller, "failures": 0, "since": now}])
        return int(connection.scalar(_OF_CALLER, {"of_caller": caller}) or 0)

    def _third(self, claim: Claim, patient: Patient) -> Third | None:
        """The third identifier that matches, where the name does too. All comparisons are made, whatever the first ones say."""
        named = _same_name(claim, patient)
        same = [third for third in self._check.third if _SAME[third](getattr(claim, third), getattr(patient, third))]
        return same[0] if named and same else None


def _same_name(claim: Claim, patient: Patient) -> bool:
    """Given and family name in either order, since many families put theirs first; of several given names one is enough."""
    families = _spellings(patient.family)
    givens = _spellings(patient.given)
    straight = _like(_spellings(claim.given), givens) & _like(_spellings(claim.family), families)
    turned = _like(_spellings(claim.family), givens) & _like(_spellings(claim.given), families)
    return straight | turned


def _spellings(name: str) -> tuple[str, ...]:
    """A name run together and in its parts: "Mary Anne" is also "maryanne", "mary" and "anne"."""
    parts = re.findall(r"[^\W\d_]+", name.casefold().replace("'", "").replace("’", ""))
    return ("".join(parts), *(part for part in parts if len(part) > 1))


def _like(said: Sequence[str], known: Sequence[str]) -> bool:
    alike = False
    for one in said[:1]:
        for other in known:
            similarity = JaroWinkler.similarity(one, other)
            alike |= bool(other) and (similarity >= _ALIKE or (similarity >= _ALIKE_IN_SOUND and _sound(one) == _sound(other)))
    return alike


def _sound(name: str) -> str:
    """How a name sounds in Australia, where an r is heard before a vowel only ("Clark", "clock"), and a last e not at all."""
    return sound(_UNHEARD_R.sub("", name.removesuffix("e")))


def _digits(text: str | None) -> str:
    return re.sub(r"\D", "", text or "")


def _equal(one: str, other: str, *, plausible: bool) -> bool:
    return hmac.compare_digest(one.encode(), other.encode()) and plausible


def _same_medicare(said: str | None, known: str | None) -> bool:
    """The card, without the reference number, which callers leave out; a number that fails its check never matches."""
    one, other = _digits(said)[:10], _digits(known)[:10]
    return _equal(one, other, plausible=is_valid("id.medicare", one))


def _same_mobile(said: str | None, known: str | None) -> bool:
    one, other = _digits(said)[-9:], _digits(known)[-9:]
    return _equal(one, other, plausible=len(one) == 9)


def _same_postcode(said: str | None, known: str | None) -> bool:
    one, other = _digits(said), _digits(known)
    return _equal(one, other, plausible=len(one) == 4)


def _same_street(said: str | None, known: str | None) -> bool:
    """The same number in a street whose name sounds the same; what kind of street it is may be left out."""
    one, other = (re.findall(r"\d+|[^\W\d_]+", (text or "").casefold()) for text in (said, known))
    numbers = [[part for part in parts if part.isdigit()] for parts in (one, other)]
    names = [[part for part in parts if not part.isdigit()] for parts in (one, other)]
    if not all(numbers) or not all(names):
        return False
    return numbers[0] == numbers[1] and _like(names[0][:1], names[1][:1])


_SAME: dict[Third, Callable[[str | None, str | None], bool]] = {
    "medicare": _same_medicare,
    "mobile": _same_mobile,
    "street": _same_street,
    "postcode": _same_postcode,
}

_NOBODY = Patient("", "", "", dt.date.min)
"""Compared with every claim, so that a day on which no patient was born costs no less."""


def save(database: Database, connection: Connection, patient: Patient) -> None:
    """Keep a patient within a transaction, in place of one with the same id."""
    row = _row_of(patient)
    database.insert_new(connection, patients, [row])
    connection.execute(update(patients).where(patients.c.id == patient.id).values(**row))


def _row_of(patient: Patient) -> dict[str, object]:
    return {**asdict(patient), "born": patient.born.isoformat(), "sms": int(patient.sms), "active": int(patient.active)}


def _patient_of(row: AnyRow) -> Patient:
    values = dict(row._mapping)
    return Patient(
        **{**values, "born": dt.date.fromisoformat(values["born"]), "sms": bool(values["sms"]), "active": bool(values["active"])}
    )
