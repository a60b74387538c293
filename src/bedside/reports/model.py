"""What a device or laboratory reported, in one form whatever file it came in.

A reader makes a `DiagnosticReport`; measurements and context rules read it and never change it. What the machine said stays verbatim in
`Finding.text`; every finding and signal says where in the source it stands.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["ecg", "blood_pressure", "spirometry", "glucose", "oximetry", "weight", "laboratory", "imaging", "other"]
Status = Literal["registered", "preliminary", "final", "corrected", "cancelled", "unknown"]
Sex = Literal["female", "male", "other", "unknown"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Span(_Frozen):
    """Where in its source something stands.

    Attributes:
        file: name of the file, without folders.
        path: place in the format's own terms: `OBX[3]`, `/entry/2/resource`, `page 1`, `row 14`, `8420`.
        start, end: characters of a text file (bytes of a binary one), end exclusive; None where a format has no such places.
    """

    file: str
    path: str = ""
    start: int | None = None
    end: int | None = None


class Interval(_Frozen):
    """Limits of a value, in the unit of the value they stand beside; None where a side is open. Both ends belong to it."""

    low: float | None = None
    high: float | None = None
    text: str = ""
    """As it was written."""


class Finding(_Frozen):
    """One thing that was reported.

    Attributes:
        code: LOINC where the report or bedside's table gives one, else the report's own code, else "".
        system: `loinc`, or the name of the coding that `code` is of.
        name: what was measured or described, as the report names it.
        text: the machine's own words, verbatim.
        value: the number, in `unit`; None for a statement in words or a value that is no number.
        comparator: `<`, `>`, `<=`, `>=` where the value is a limit.
        unit: UCUM code, normalised; "" where there is none.
        written_value, written_unit: as they were written.
        range: the reference interval that came with it.
        flag: as it came: `H`, `L`, `HH`, `LL`, `A`, `N`, ….
        status: of this result.
        time: when the specimen was taken or the measurement made.
        device, method: what made it.
        comments: notes that stand with it (haemolysis, fasting, technician).
        source: where it stands.
    """

    name: str
    text: str
    source: Span
    code: str = ""
    system: str = ""
    value: float | None = None
    comparator: Literal["", "<", ">", "<=", ">="] = ""
    unit: str = ""
    written_value: str = ""
    written_unit: str = ""
    range: Interval | None = None
    flag: str = ""
    status: Status = "final"
    time: datetime | None = None
    device: str = ""
    method: str = ""
    uncertainty: float | None = None
    """Half the width of the 95 % interval of `value`, in `unit`; None where it was reported without one."""
    comments: tuple[str, ...] = ()


class Signal(_Frozen):
    """A recording that a device gave: an ECG lead, or readings over time.

    Attributes:
        name: lead (`I`, `V2`) or quantity (`glucose`, `systolic`, `flow`).
        values: samples, shape [n], in `unit`; NaN where the device had none.
        unit: UCUM code (`mV`, `mmol/L`, `mm[Hg]`).
        rate: samples a second; None for readings at `times`.
        times: seconds after `start`, shape [n], for readings that are not evenly spaced.
        start: of the first sample.
        source: where it stands.
    """

    name: str
    values: NDArray[np.float64]
    unit: str
    source: Span
    rate: float | None = None
    times: NDArray[np.float64] | None = None
    start: datetime | None = None


class Person(_Frozen):
    """Whom a report is about, as far as it says; compared with the patient's record before anything is put together."""

    identifiers: dict[str, str] = Field(default_factory=dict)
    """By type: `medicare`, `ihi`, `mrn`, ….  Values as written, without spaces."""
    family: str = ""
    given: str = ""
    birth_date: date | None = None
    sex: Sex = "unknown"


class Problem(_Frozen):
    """Something in the source that could not be read or believed; shown with the report, never dropped.

    `reason` is a short code: `bad_number`, `unknown_unit`, `superseded`, `bad_encoding`, `truncated`, ….
    """

    reason: str
    detail: str
    source: Span


class DiagnosticReport(_Frozen):
    """One report.

    Attributes:
        id: the report's own, or "".
        kind: what sort of test.
        title: as the report calls itself.
        status: of the whole.
        time: of the test, else of the report.
        issued: when the report, or this version of it, was sent.
        patient: whom it is about.
        device: make, model, serial and firmware, as far as stated.
        findings: in the report's order; superseded ones are in `problems`, not here.
        signals: recordings.
        comments: notes on the whole report.
        problems: what could not be read.
        format: of the source (`hl7v2`, `fhir`, `gdt`, `wfdb`, …).
    """

    kind: Kind
    format: str
    id: str = ""
    title: str = ""
    status: Status = "unknown"
    time: datetime | None = None
    issued: datetime | None = None
    patient: Person = Person()
    device: str = ""
    findings: tuple[Finding, ...] = ()
    signals: tuple[Signal, ...] = ()
    comments: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class QualityNote(_Frozen):
    """What stands in the way of trusting a recording.

    Attributes:
        code: short: `too_short`, `flat_lead`, `noise`, `few_readings`, ….
        text: one sentence for the clinician.
        grave: what was measured from the recording should not be used before it is repeated or read by a person.
        source: the part of the recording.
    """

    code: str
    text: str
    source: Span
    grave: bool = False


class Measured(_Frozen):
    """What bedside itself measured from a report's recordings or readings: their quality first, then the numbers.

    Attributes:
        quality: what stands against the recording, the gravest first; empty where nothing was found.
        findings: each with its method; `device` is `bedside`, `status` is `preliminary`.
    """

    quality: tuple[QualityNote, ...] = ()
    findings: tuple[Finding, ...] = ()
