"""What a patient's record says about a medicine: allergies, pregnancy, breastfeeding, kidneys, age and conditions.

Every note is a reason to ask the doctor or pharmacist; none says that a medicine is safe.
"""

from __future__ import annotations

from dataclasses import dataclass

from bedside.errors import KnowledgeError
from bedside.knowledge.medicines import CrossCheck, Severity, cross_checks, expand
from bedside.safety.interactions import ORDER
from bedside.safety.medicines import resolve
from bedside.safety.text import fold


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What is known of a patient; None, or an empty list, where the record does not say.

    Attributes:
        age_years: age; may be a fraction for babies.
        pregnant, breastfeeding: whether she is.
        weeks_pregnant: completed weeks.
        egfr: kidney function, mL/min/1.73 m².
        allergies: as recorded: brands, generics, classes ("penicillin") or plain words ("sulfa").
        conditions: as recorded, in plain words.
    """

    age_years: float | None = None
    pregnant: bool | None = None
    weeks_pregnant: int | None = None
    breastfeeding: bool | None = None
    egfr: float | None = None
    allergies: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A check that concerns this medicine.

    Attributes:
        rule, severity, reason, wording, source, certainty: of the fact that fired.
        applies: True where the record shows it; None where a criterion is not on record and has to be asked.
        ask: the facts that are missing.
    """

    rule: str
    severity: Severity
    reason: str
    wording: str
    source: str
    certainty: str
    applies: bool | None
    ask: tuple[str, ...]


def cross_check(medicine: str, patient: PatientFacts) -> tuple[Note, ...]:
    """Notes about a medicine for a patient, worst first; those that apply stand before those to be asked.

    Raises:
        KnowledgeError: the medicine is not known, so that silence would be mistaken for safety.
    """
    found = resolve(medicine)
    if found is None:
        raise KnowledgeError(f"{medicine!r} is no medicine of the built-in table", "Correct the name, or ask the pharmacist")
    substances = found.substances
    allergic = _named(patient.allergies)
    notes = [note for check in cross_checks() if substances & _about(check) and (note := _note(check, patient, allergic))]
    notes += [_recorded(name) for name in sorted(substances & allergic)]
    return tuple(sorted(notes, key=lambda note: (note.applies is None, -ORDER.index(note.severity), note.rule)))


def _about(check: CrossCheck) -> frozenset[str]:
    return expand(check.medicines, check.medicines_not)


def _note(check: CrossCheck, patient: PatientFacts, allergic: frozenset[str]) -> Note | None:
    states = _states(check, patient, allergic)
    if False in states.values():
        return None
    ask = tuple(name for name, state in states.items() if state is None)
    return Note(check.id, check.severity, check.reason, check.wording, check.source, check.certainty, None if ask else True, ask)


def _states(check: CrossCheck, patient: PatientFacts, allergic: frozenset[str]) -> dict[str, bool | None]:
    """Each criterion of a check: whether it holds, None where the record does not say. Allergy or condition: either is enough."""
    states: dict[str, bool | None] = {}
    if check.allergy or check.condition:
        hit = bool(expand(check.allergy) & allergic) or any(_mentions(patient.conditions, wanted) for wanted in check.condition)
        states["allergies or conditions"] = hit
    if check.pregnant:
        states["pregnant"] = patient.pregnant
    if check.weeks_from is not None:
        states["weeks pregnant"] = None if patient.weeks_pregnant is None else patient.weeks_pregnant >= check.weeks_from
    if check.breastfeeding:
        states["breastfeeding"] = patient.breastfeeding
    if check.egfr_below is not None:
        states["egfr"] = None if patient.egfr is None else patient.egfr < check.egfr_below
    if check.age_from is not None:
        states["age"] = None if patient.age_years is None else patient.age_years >= check.age_from
    if check.age_below is not None:
        states["age"] = None if patient.age_years is None else patient.age_years < check.age_below
    return states


def _mentions(recorded: tuple[str, ...], wanted: str) -> bool:
    return any(wanted in fold(words)[0] for words in recorded)


def _named(allergies: tuple[str, ...]) -> frozenset[str]:
    """Generics of the recorded allergies; a class stands for all of its members."""
    return frozenset().union(*(found.substances for words in allergies if (found := resolve(words))))


def _recorded(name: str) -> Note:
    return Note(
        "allergy.same-substance",
        "contraindicated",
        f"{name} itself is on the allergy list",
        "check-before-taking",
        "the patient's record",
        "A",
        True,
        (),
    )
