"""Context rules at work: each condition is true, false or not known, and what is true says which facts made it so.

The same reports and record give the same notes, in whatever order they are listed; a rule sees nothing but the facts that it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from bedside.knowledge.report_conditions import FACT_KINDS, ChangeTest, Condition, FactKind, FactTest, Limits, ResultTest, TakesTest
from bedside.knowledge.report_facts import URGENCIES, ReportRule, Urgency, analytes, report_rules
from bedside.reports.context import Context, Reason
from bedside.reports.readings import Reading, is_judged, number, place
from bedside.reports.trends import changes
from bedside.reports.words import spoken

_ASKED: dict[str, str] = {
    "specimen": "specimen comment",
    "recording": "notes on how it was recorded",
    "condition": "conditions",
    "symptom": "symptoms now",
    "event": "recent events",
    "device": "implanted devices",
    "habit": "habits and circumstances",
    "indication": "reason for the test",
    "named": "medicines",
}
"""How a missing fact of each kind is named."""

Topic = tuple[Literal["result", "says"], str]
"""What a report may hold: a comparable result of an analyte, or a statement that mentions a term; by its key."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a condition came to: true, false or not known (None), the facts behind it, and the facts that would decide it."""

    truth: bool | None
    because: tuple[Reason, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A context note: the rule, its text, its urgency for the clinician, and the facts that it rests on."""

    rule: str
    text: str
    urgency: Urgency
    because: tuple[Reason, ...]
    source: str
    certainty: str
    kind: str = "context"


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that is not on record and would decide rules; `decides` are their titles."""

    fact: str
    decides: tuple[str, ...]
    rules: tuple[str, ...]


def apply(context: Context) -> tuple[tuple[Note, ...], tuple[Missing, ...]]:
    """Notes of all rules whose conditions are known to hold, most urgent first, and what is missing to judge the others."""
    notes: list[Note] = []
    asked: dict[str, list[ReportRule]] = {}
    topics: set[Topic] = {("result", analyte) for analyte in context.present}
    topics |= {("says", term) for said in context.statements for term in _said(said.text)}
    for rule, needed in _rules():
        if needed is not None and needed.isdisjoint(topics):
            continue
        note, missing = _apply(rule, context)
        if note is not None:
            notes.append(note)
        for fact in missing:
            asked.setdefault(fact, []).append(rule)
    open_questions = (
        Missing(fact, tuple(sorted({rule.title for rule in by})), tuple(sorted({rule.id for rule in by}))) for fact, by in asked.items()
    )
    return in_order(notes), tuple(sorted(open_questions, key=lambda one: one.fact))


@cache
def _rules() -> tuple[tuple[ReportRule, frozenset[Topic] | None], ...]:
    """All rules, each with the topics of which the report must hold one before `when` can be true; None where topics do not decide that."""
    return tuple((rule, _needed_by_all(rule.when)) for rule in report_rules())


@lru_cache(maxsize=20_000)
def _said(text: str) -> frozenset[str]:
    """The terms that a text mentions, of those that decide whether a rule is judged."""
    terms = {term for _, needed in _rules() for kind, term in needed or () if kind == "says"}
    return frozenset(term for term in terms if spoken(term, text).mentioned)


def _needed_by_all(conditions: Sequence[Condition]) -> frozenset[Topic] | None:
    return next((needed for condition in conditions if (needed := _needed(condition)) is not None), None)


def _needed(condition: Condition) -> frozenset[Topic] | None:
    if (test := condition.result or condition.change) is not None:
        return frozenset(("result", analyte) for analyte in test.of)
    if condition.says is not None:
        return frozenset(("says", term) for term in condition.says)
    if condition.all is not None:
        return _needed_by_all(condition.all)
    parts = [_needed(part) for part in condition.any or ()]
    known = [part for part in parts if part is not None]
    return frozenset().union(*known) if parts and len(known) == len(parts) else None


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Notes, most urgent first, then by rule and text."""
    return tuple(sorted(notes, key=lambda note: (URGENCIES.index(note.urgency), note.rule, note.text)))


def _apply(rule: ReportRule, context: Context) -> tuple[Note | None, tuple[str, ...]]:
    when = _all(rule.when, context, in_report=True)
    if when.truth is not True:
        return None, ()
    given, unless = _all(rule.given, context), _any(rule.unless, context)
    if given.truth is False or unless.truth is True:
        return None, ()
    missing = {*given.missing, *unless.missing}
    if given.truth is None:
        return None, tuple(missing)
    sentences, urgency, because = [_written(rule.note, when, given)], rule.urgency, {*when.because, *given.because}
    for more in rule.also:
        found = _all(more.given, context)
        missing.update(found.missing if found.truth is None else ())
        if found.truth:
            sentences.append(_written(more.add, found, found))
            because.update(found.because)
            urgency = min(urgency, more.urgency or urgency, key=URGENCIES.index)
    note = Note(rule.id, " ".join(sentences), urgency, tuple(sorted(because)), rule.source, rule.certainty, rule.kind)
    return note, tuple(missing)


def _written(template: str, when: Judged, given: Judged) -> str:
    """A note's text with the facts in their places."""
    told = {*when.because, *given.because}
    of_given = [reason for reason in given.because if reason.kind not in ("medicine", "change", "limit", "caution")]
    of_given = of_given or [reason for reason in when.because if reason.kind == "fact"]
    words = [reason for reason in of_given if reason.kind in ("fact", "interaction", "none")] or of_given
    places = {
        "results": _texts(reason for reason in when.because if reason.kind in ("result", "statement"))
        or _texts(r for r in told if r.kind == "change"),
        "facts": _texts(words if when is given else of_given),
        "medicines": _texts(reason for reason in told if reason.kind == "medicine"),
        "changes": _texts(reason for reason in told if reason.kind == "change"),
        "cautions": _texts(reason for reason in told if reason.kind == "caution"),
        "limit": _texts(reason for reason in told if reason.kind == "limit"),
    }
    text = template.format_map(places)
    return re.sub(r" +([.,;:)])", r"\1", " ".join(text.replace(" ()", "").split()))


def _texts(reasons: Iterable[Reason]) -> str:
    return ", ".join(sorted({reason.text for reason in reasons}))


def _all(conditions: Sequence[Condition], context: Context, *, in_report: bool = False) -> Judged:
    """All of them; one that is false decides, whatever the others lack."""
    parts: list[Judged] = []
    for condition in conditions:
        part = judge(condition, context, in_report=in_report)
        if part.truth is False:
            return Judged(False)
        parts.append(part)
    because = tuple(reason for part in parts for reason in part.because)
    missing = tuple(fact for part in parts if part.truth is None for fact in part.missing)
    return Judged(None if any(part.truth is None for part in parts) else True, because, missing)


def _any(conditions: Sequence[Condition], context: Context, *, in_report: bool = False) -> Judged:
    """Any of them; of none, false. What is missing matters only while none is true."""
    parts = [judge(condition, context, in_report=in_report) for condition in conditions]
    true = [part for part in parts if part.truth]
    if true:
        return Judged(True, tuple(reason for part in true for reason in part.because))
    because = tuple(reason for part in parts for reason in part.because)
    missing = tuple(fact for part in parts if part.truth is None for fact in part.missing)
    return Judged(None if any(part.truth is None for part in parts) else False, because, missing)


def judge(condition: Condition, context: Context, *, in_report: bool = False) -> Judged:
    """What one condition comes to.

    Args:
        in_report: ask the report only, where what is not reported is false and not unknown.
    """
    if condition.all is not None:
        return _all(condition.all, context, in_report=in_report)
    if condition.any is not None:
        return _any(condition.any, context, in_report=in_report)
    if condition.negated is not None:
        inner = judge(condition.negated, context, in_report=in_report)
        return Judged(None if inner.truth is None else not inner.truth, inner.because, inner.missing)
    if condition.result is not None:
        return _result(condition.result, context, in_report=in_report)
    (key,) = condition.model_fields_set
    return _told(key, getattr(condition, key), context) if key in FACT_KINDS else _LEAVES[key](condition, context)


def _result(test: ResultTest, context: Context, *, in_report: bool) -> Judged:
    found = [one for analyte in test.of for one in context.present.get(analyte, ())]
    if not found and not in_report:
        found = [one for analyte in test.of for one in context.earlier.get(analyte, ())[:1] if _recent(one, test.within_days, context)]
    if not found:
        label = " or ".join(analytes()[analyte].label for analyte in test.of)
        return Judged(False) if in_report else Judged(None, missing=(f"result of {label}",))
    if test.above_age_times is not None and context.age is None:
        return Judged(None, missing=("age",))
    limit = test.above_age_times * context.age if test.above_age_times and context.age else None
    shown = (Reason("limit", number(limit), f"{number(test.above_age_times)} × age"),) if limit and test.above_age_times else ()
    verdicts = [(one, _holds(test, one, limit, context)) for one in found]
    true = [one for one, holds in verdicts if holds]
    if true:
        return Judged(True, (*map(_of_reading, true), *shown))
    if any(holds is None for _, holds in verdicts):
        return Judged(None, missing=(f"reference interval of {found[0].label}",))
    return Judged(False, (*map(_of_reading, found), *shown))


def _holds(test: ResultTest, one: Reading, limit: float | None, context: Context) -> bool | None:
    if one.value is None or not test.hold(one.value) or (limit is not None and one.value <= limit):
        return False
    if test.judged is None:
        return True
    found = context.abnormality(one)
    if found is None and not is_judged(one, context.age, context.sex):
        return None
    told = {"normal": found is None, "abnormal": found is not None, "critical": found is not None and found.critical}
    return told.get(test.judged, found is not None and found.direction in (test.judged, "abnormal"))


def _recent(one: Reading, days: int, context: Context) -> bool:
    return one.day is None or context.day is None or abs((context.day - one.day).days) <= days


def _of_reading(one: Reading) -> Reason:
    when = f", {one.day}" if one.recorded and one.day else ""
    return Reason("result", f"{one}{when}", place(one.finding.source))


def _change(test: ChangeTest | None, context: Context) -> Judged:
    assert test is not None
    found = [change for analyte in test.of for change in changes(context.present.get(analyte, ()), context.earlier.get(analyte, ()), test)]
    if not found:
        return Judged(None, missing=tuple(f"earlier result of {analytes()[analyte].label}" for analyte in test.of))
    true = [change for change in found if test.holds(change.before.value or 0.0, change.now.value or 0.0)]
    return Judged(bool(true), tuple(Reason("change", str(change), place(change.before.finding.source)) for change in true))


def _says(terms: tuple[str, ...], context: Context) -> Judged:
    true = [said for said in context.statements if any(spoken(term, said.text).mentioned for term in terms)]
    return Judged(bool(true), tuple(Reason("statement", said.text, said.source) for said in true))


def _told(key: str, test: FactTest, context: Context) -> Judged:
    kind: FactKind = next(kind for kind in FACT_KINDS if kind == key)
    heard = [context.told(kind, term, test.within_days) for term in test.any]
    reasons = tuple(reason for mentions, _ in heard for reason in mentions)
    if reasons:
        return Judged(True, reasons)
    if context.knows(kind) or any(denied for _, denied in heard):
        return Judged(False, (Reason("none", f"none of this in {_ASKED[kind]}", context.record.file or "the report"),))
    return Judged(None, missing=(_ASKED[kind],))


def _takes(test: TakesTest | None, context: Context) -> Judged:
    assert test is not None
    if context.medicines is None:
        return Judged(None, missing=("medicines",))
    taken = context.taking(test.any)
    if test.started_within is None:
        return Judged(bool(taken), tuple(Reason("medicine", one.text, one.source) for one in taken))
    started = [(one, one.days_before(context.day)) for one in taken]
    new = [one for one, days in started if days is not None and 0 <= days <= test.started_within]
    if new:
        return Judged(True, tuple(Reason("medicine", one.text, one.source) for one in new))
    undated = tuple(sorted(f"start date of {one.name}" for one, days in started if days is None))
    return Judged(None if undated else False, missing=undated)


def _interaction(rules: tuple[str, ...], context: Context) -> Judged:
    if context.medicines is None:
        return Judged(None, missing=("medicines",))
    found = [(reason, named) for reason, named in context.interactions if reason.rule.startswith(rules)]
    because = [
        Reason("interaction", f"{' + '.join(reason.medicines)}: {reason.effect} ({reason.mechanism})", f"{reason.rule}: {reason.source}")
        for reason, _ in found
    ]
    return Judged(bool(found), (*because, *(Reason("medicine", one.text, one.source) for _, named in found for one in named)))


def _caution(rules: tuple[str, ...], context: Context) -> Judged:
    if context.medicines is None:
        return Judged(None, missing=("medicines",))
    found = [(note, one) for note, one in context.cautions if note.rule.startswith(rules)]
    because = [Reason("caution", f"{one.name} ({note.reason})", f"{note.rule}: {note.source}") for note, one in found]
    return Judged(bool(found), (*because, *(Reason("medicine", one.text, one.source) for _, one in found)))


def _number(limits: Limits | None, value: float | None, asked: str, words: str, context: Context) -> Judged:
    assert limits is not None
    if value is None:
        return Judged(None, missing=(asked,))
    return Judged(limits.hold(value), (Reason("fact", words.format(f"{value:g}"), context.record.file or "the report"),))


def _sex(condition: Condition, context: Context) -> Judged:
    if context.sex == "unknown":
        return Judged(None, missing=("sex",))
    return Judged(context.sex == condition.sex, (Reason("fact", str(context.sex), context.record.file or "the report"),))


def _pregnant(condition: Condition, context: Context) -> Judged:
    if context.pregnant is None:
        return Judged(None, missing=("pregnancy",))
    weeks = context.record.weeks_pregnant
    text = "not pregnant" if not context.pregnant else f"{weeks} weeks pregnant" if weeks else "pregnant"
    return Judged(context.pregnant == condition.pregnant, (Reason("fact", text, context.record.file or "the report"),))


_LEAVES: dict[str, Callable[[Condition, Context], Judged]] = {
    "change": lambda condition, context: _change(condition.change, context),
    "says": lambda condition, context: _says(condition.says or (), context),
    "takes": lambda condition, context: _takes(condition.takes, context),
    "interaction": lambda condition, context: _interaction(condition.interaction or (), context),
    "caution": lambda condition, context: _caution(condition.caution or (), context),
    "age": lambda condition, context: _number(condition.age, context.age, "age", "age {} years", context),
    "bmi": lambda condition, context: _number(condition.bmi, context.bmi, "height and weight", "BMI {}", context),
    "weeks": lambda condition, context: _number(
        condition.weeks, context.record.weeks_pregnant, "weeks of pregnancy", "{} weeks pregnant", context
    ),
    "sex": _sex,
    "pregnant": _pregnant,
    "kind": lambda condition, context: Judged(bool(context.kinds & set(condition.kind or ()))),
}
"""How each condition but those on results and facts of the record is judged, by its key."""
