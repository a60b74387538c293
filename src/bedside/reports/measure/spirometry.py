"""Spirometry by the ERS/ATS technical standard 2021 (Stanojevic et al., Eur Respir J 2022;60:2101499), from what comes with the report.

No prediction equations are shipped: z-scores are the device's, or follow from its predicted value and lower limit of normal. The quality of
the session comes before its pattern; a pattern is no diagnosis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bedside.knowledge.device_thresholds import threshold
from bedside.reports.measure.form import gravest_first, measured, stated
from bedside.reports.model import DiagnosticReport, Finding, Measured, QualityNote, Sex, Span

Quantity = Literal["FEV1", "FVC", "FEV1/FVC"]
Role = Literal["value", "predicted", "lln", "z", "percent"]
_QUANTITY = re.compile(r"\bFEV\s*1?\s*[/%]\s*F?VC\b|\bFEV\s*\(?1\)?\b|\bFVC\b", re.IGNORECASE)
_AFTER = re.compile(r"\b(?:post|after|pst)\b|post[-_ ]?b", re.IGNORECASE)
_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("z", re.compile(r"\bz\b|z[-_ ]?score", re.IGNORECASE)),
    ("lln", re.compile(r"\blln\b|lower limit", re.IGNORECASE)),
    ("percent", re.compile(r"%\s*(?:of\s*)?pred|percent\s*(?:of\s*)?pred|\bpp\b", re.IGNORECASE)),
    ("predicted", re.compile(r"\bpred", re.IGNORECASE)),
)
_CHANGE = re.compile(r"\b(?:change|chg|diff|response|quality|grade)\b|Δ", re.IGNORECASE)
_GRADE = re.compile(r"(?:quality|grade|qc)\D{0,25}?\b([A-FU])\b", re.IGNORECASE)
_FIXED = 0.70
_LLN_Z = 1.645
_METHOD = "ERS/ATS 2021"


@dataclass(frozen=True, slots=True)
class Value:
    """One quantity before or after a bronchodilator, as far as the report gives it.

    Attributes:
        value, predicted, lln: litres, or the ratio as a fraction.
        z: the device's z-score.
        percent: of predicted.
    """

    value: float | None = None
    predicted: float | None = None
    lln: float | None = None
    z: float | None = None
    percent: float | None = None

    def score(self) -> float | None:
        """The device's z-score, else one from predicted and LLN as if the values around predicted were even; None without either."""
        if self.z is not None or self.value is None or self.predicted is None or self.lln is None or self.predicted <= self.lln:
            return self.z
        return _LLN_Z * (self.value - self.predicted) / (self.predicted - self.lln)

    def low(self) -> bool | None:
        """Whether the value is under its lower limit of normal; None where that cannot be known."""
        if self.value is not None and self.lln is not None:
            return self.value < self.lln
        score = self.score()
        return None if score is None else score < threshold("spirometry.lln").low


@dataclass(frozen=True, slots=True)
class Session:
    """What a report says of one session."""

    before: dict[Quantity, Value]
    after: dict[Quantity, Value]
    grades: tuple[str, ...]
    source: Span

    def ratio(self) -> Value:
        """FEV1/FVC before the bronchodilator; calculated where the report has none."""
        found = self.before.get("FEV1/FVC", Value())
        fev1, fvc = self.before.get("FEV1", Value()).value, self.before.get("FVC", Value()).value
        if found.value is None and fev1 is not None and fvc:
            return Value(fev1 / fvc, found.predicted, found.lln, found.z, found.percent)
        return found


def session(findings: Iterable[Finding], comments: Iterable[str] = ()) -> Session | None:
    """Findings of a report as one session; None where they hold neither FEV1 nor FVC."""
    parts: dict[bool, dict[Quantity, dict[Role, float]]] = {False: {}, True: {}}
    grades: list[str] = []
    source = None
    for finding in findings:
        grades += _GRADE.findall(f"{finding.name}: {finding.text}")
        found = _QUANTITY.search(finding.name)
        if not found or finding.value is None or _CHANGE.search(finding.name):
            continue
        source = source or finding.source
        quantity: Quantity = "FEV1/FVC" if re.search(r"[/%]", found[0]) else "FVC" if found[0].upper() == "FVC" else "FEV1"
        role = next(
            (role for role, pattern in _ROLES if pattern.search(finding.name)),
            "value" if finding.unit != "%" or "/" in quantity else "percent",
        )
        values = parts[bool(_AFTER.search(finding.name))].setdefault(quantity, {})
        values.setdefault(role, _scaled(finding, quantity, role))
        if role == "value" and finding.range and finding.range.low is not None:
            values.setdefault("lln", _scaled(finding, quantity, "lln", finding.range.low))
    grades += [grade for comment in comments for grade in _GRADE.findall(comment)]
    if source is None:
        return None
    before, after = ({name: Value(**values) for name, values in parts[side].items()} for side in (False, True))
    return Session(before, after, tuple(grade.upper() for grade in grades), source)


def pattern(found: Session) -> str | None:
    """Pattern of the values before a bronchodilator; None where limits are missing."""
    ratio, fvc, fev1 = found.ratio().low(), found.before.get("FVC", Value()).low(), found.before.get("FEV1", Value()).low()
    if ratio is None:
        return None
    if ratio:
        return "obstruction with low FVC: mixed, or air trapping; lung volumes tell" if fvc else "obstruction"
    if fvc:
        return "possible restriction (FVC low, ratio normal); lung volumes are needed"
    return "FEV1 low with normal ratio (PRISm)" if fev1 else "within normal limits"


def severity(score: float) -> str:
    """Grade of a z-score."""
    limits = [threshold(f"spirometry.{name}").low for name in ("lln", "mild", "moderate")]
    names = ("normal", "mild", "moderate", "severe")
    return names[sum(score < limit for limit in limits)]


def response(before: Value, after: Value) -> float | None:
    """Change after a bronchodilator, percent of predicted; None where a value or the predicted one is missing."""
    predicted = before.predicted or after.predicted
    if before.value is None or after.value is None or not predicted:
        return None
    return 100 * (after.value - before.value) / predicted


def fev1q(fev1: float, sex: Sex) -> float | None:
    """FEV1 (L) over the 1st centile of its sex in lung disease; None without a sex."""
    return fev1 / threshold(f"spirometry.fev1q_{sex}").low if sex in ("female", "male") else None


def measure_spirometry(report: DiagnosticReport) -> Measured:
    """Quality, then z-scores, pattern, severity, bronchodilator response and FEV1Q, as far as the report's values carry them."""
    found = session(report.findings, report.comments)
    if found is None:
        return Measured()
    return Measured(quality=gravest_first(_notes(found)), findings=tuple(_findings(found, report.patient.sex)))


def _notes(found: Session) -> list[QualityNote]:
    notes = []
    worst = max(found.grades, default="")
    if worst in ("D", "E", "F", "U"):
        text = (
            f"Quality grade {worst}: the session is not usable for a pattern; repeat"
            if worst != "D"
            else "Quality grade D: a pattern may be wrong; repeat"
        )
        notes.append(QualityNote(code="poor_session", text=text, grave=True, source=found.source))
    elif not worst:
        notes.append(QualityNote(code="no_grade", text="The report gives no quality grade of the session", source=found.source))
    if all(found.before.get(name, Value()).low() is None for name in ("FEV1", "FVC")):
        text = "No predicted values, limits or z-scores came with the report: no pattern can be given"
        notes.append(QualityNote(code="no_limits", text=text, source=found.source))
    ratio = found.ratio()
    if ratio.value is not None and ratio.low() is False and ratio.value < _FIXED:
        text = f"FEV1/FVC {ratio.value:.2f} is under 0.70 and within its normal limits: a fixed limit of 0.70 would over-call obstruction"
        notes.append(QualityNote(code="fixed_ratio", text=text, source=found.source))
    return notes


def _findings(found: Session, sex: Sex) -> list[Finding]:
    findings = []
    ratio = found.ratio()
    if ratio.value is not None:
        findings.append(measured("FEV1/FVC", ratio.value, "1", "FEV1 over FVC", found.source, code="19926-5", digits=2))
    for name, value in (("FEV1", found.before.get("FEV1", Value())), ("FVC", found.before.get("FVC", Value())), ("FEV1/FVC", ratio)):
        if (score := value.score()) is not None:
            how = "as reported" if value.z is not None else "from predicted and LLN, taken as even around predicted"
            findings.append(
                measured(f"{name} z-score", score, "1", how, found.source, digits=2, uncertainty=None if value.z is not None else 0.3)
            )
    if (shape := pattern(found)) is not None:
        findings.append(stated("Pattern", shape, _METHOD, found.source))
        fev1 = found.before.get("FEV1", Value()).score()
        if fev1 is not None and shape != "within normal limits":
            findings.append(stated("Severity", f"{severity(fev1)} (FEV1 z {fev1:.2f})", _METHOD, found.source))
    return findings + _responses(found) + _quotient(found, sex)


def _responses(found: Session) -> list[Finding]:
    changes = {name: response(found.before.get(name, Value()), found.after.get(name, Value())) for name in ("FEV1", "FVC")}
    limit = threshold("spirometry.bronchodilator").high
    findings = [
        measured(f"{name} change after bronchodilator", change, "%", f"of predicted; {_METHOD}", found.source, digits=1)
        for name, change in changes.items()
        if change is not None
    ]
    if findings:
        responds = any(change is not None and change > limit for change in changes.values())
        text = f"{'over' if responds else 'not over'} {limit:g} % of predicted"
        findings.append(stated("Bronchodilator response", text, _METHOD, found.source))
    return findings


def _quotient(found: Session, sex: Sex) -> list[Finding]:
    fev1 = found.before.get("FEV1", Value()).value
    quotient = fev1q(fev1, sex) if fev1 is not None else None
    return (
        []
        if quotient is None
        else [measured("FEV1Q", quotient, "1", f"FEV1 over the 1st centile ({sex}); {_METHOD}", found.source, digits=1)]
    )


def _scaled(finding: Finding, quantity: Quantity, role: Role, number: float | None = None) -> float:
    """Litres, or a ratio as a fraction."""
    value = (finding.value or 0.0) if number is None else number
    if role in ("z", "percent"):
        return value
    if quantity == "FEV1/FVC":
        return value / 100 if finding.unit == "%" or value > 1.5 else value
    return value / 1000 if finding.unit == "mL" else value
