"""FHIR R4 results in JSON: DiagnosticReport with its Observations, alone, in a Bundle, contained, or one a line (NDJSON); AU Core.

https://hl7.org/fhir/R4/diagnosticreport.html. Resources are read leniently, so that a fault in one element costs that element and not the
report; the strict models of `fhir.resources` would refuse all of it. Observations that no report names make one report a person.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import defaultdict
from typing import Any, cast

import numpy as np

from bedside.reports.model import DiagnosticReport, Interval, Kind, Person, Signal, Span, Status
from bedside.reports.readers.data import content
from bedside.reports.readers.fhir_json import Node, Placed, resources
from bedside.reports.readers.markup import from_html
from bedside.reports.readers.pdf import pages
from bedside.reports.readers.people import identified
from bedside.reports.readers.source import Draft, ReportError, Source, decoded
from bedside.reports.readers.statements import add_statements
from bedside.reports.readers.superseding import settled
from bedside.reports.readers.values import Comparator, day_of, iso_time
from bedside.reports.units import unit_of

FORMAT = "fhir"
_SAMPLES = 1_000_000
"""Values that sampled data of one observation may have."""
_VALUES = ("valueString", "valueInteger", "valueDateTime", "valueTime")


def sniff(head: bytes, name: str) -> bool:
    """Whether it is JSON that names a resource type."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") and b'"resourceType"' in head


def read(data: bytes, name: str) -> list[DiagnosticReport]:
    """The reports of a file.

    Raises:
        ReportError: it is no JSON, or holds neither a DiagnosticReport nor an Observation.
    """
    source = decoded(data, name)
    found, faults = resources(source)
    reader = _File(source, found)
    reports = reader.reports()
    if not reports:
        kinds = ", ".join(sorted({placed.content["resourceType"] for placed in found})[:6])
        reason = (
            f"holds no DiagnosticReport and no Observation, but {kinds}" if kinds else f"is no JSON: {faults[0][2] if faults else 'empty'}"
        )
        raise ReportError(f"{name} {reason}", "Give FHIR R4 JSON of results")
    if faults:
        draft = Draft(source)
        for start, end, reason in faults:
            draft.problem("bad_json", reason, source.span("", start, end))
        reports[0] = reports[0].model_copy(update={"problems": (*reports[0].problems, *draft.problems)})
    return settled(reports)


class _File:
    """The resources of a file and their references."""

    def __init__(self, source: Source, found: list[Placed]) -> None:
        self.source = source
        self.placed = {id(placed.content): placed for placed in found}
        self.by_reference: dict[str, Node] = {}
        for placed in found:
            node = Node(placed.content)
            self.by_reference.setdefault(f"{node.text('resourceType')}/{node.text('id')}", node)
            for entry in node.nodes("entry"):
                if entry.text("fullUrl"):
                    self.by_reference[entry.text("fullUrl")] = entry.node("resource")
        self.contained = {id(item.content) for placed in found for item in Node(placed.content).nodes("contained")}

    def of_type(self, kind: str) -> list[Node]:
        return [Node(placed.content) for placed in self.placed.values() if placed.content["resourceType"] == kind]

    def reports(self) -> list[DiagnosticReport]:
        self.used: set[int] = set()
        reports = [self._report(report) for report in self.of_type("DiagnosticReport")]
        loose: defaultdict[str, list[Node]] = defaultdict(list)
        for observation in self.of_type("Observation"):
            if id(observation.content) not in self.used | self.contained:
                loose[observation.text("subject", "reference")].append(observation)
        return reports + [self._loose(observations) for observations in loose.values()]

    def resolve(self, reference: Node, within: Node) -> Node:
        """What a reference points to; an empty node where it is not in the file."""
        written = reference.text("reference")
        if written.startswith("#"):
            return next((item for item in within.nodes("contained") if item.text("id") == written[1:]), Node(None))
        return self.by_reference.get(written) or self.by_reference.get("/".join(written.split("/")[-2:])) or Node(None)

    def span(self, node: Node) -> Span:
        placed = self.placed.get(id(node.content))
        path = f"{node.text('resourceType')}/{node.text('id')}".strip("/")
        return self.source.span(path, placed.start, placed.end) if placed else self.source.span(path)

    # --- reports ------------------------------------------------------------------------------------------------------------------------

    def _report(self, report: Node) -> DiagnosticReport:
        _, _, title = _coding(report.node("code"))
        draft = Draft(self.source, title)
        for reference in report.nodes("result"):
            observation = self.resolve(reference, report)
            if observation:
                self.add(draft, observation, seen=set())
            else:
                said = reference.text("display") or reference.text("reference")
                draft.problem("missing_result", f"{said} is named by the report and not in the file", self.span(report))
        if conclusion := report.text("conclusion"):
            draft.statement(
                "Conclusion", conclusion, self.span(report), comments=tuple(_coding(code)[2] for code in report.nodes("conclusionCode"))
            )
        for form in report.nodes("presentedForm"):
            self._form(draft, form, report)
        status = cast(Status, content("fhir.yaml")["status"].get(report.text("status"), "unknown"))
        return self._finished(draft, report, _identifier(report), status)

    def _loose(self, observations: list[Node]) -> DiagnosticReport:
        draft = Draft(self.source, _coding(observations[0].node("code"))[2] if len(observations) == 1 else "Observations")
        for observation in observations:
            if id(observation.content) not in self.used:
                self.add(draft, observation, seen=set())
        statuses = {content("fhir.yaml")["status"].get(observation.text("status"), "unknown") for observation in observations}
        only = len(observations) == 1
        identifier = _identifier(observations[0]) if only else ""
        return self._finished(draft, observations[0], identifier, cast(Status, statuses.pop()) if len(statuses) == 1 else "unknown")

    def _finished(self, draft: Draft, node: Node, identifier: str, status: Status) -> DiagnosticReport:
        codes = [coding.text("code") for category in node.nodes("category") for coding in category.nodes("coding")]
        kinds: list[Kind] = [content("fhir.yaml")["categories"][code] for code in codes if code in content("fhir.yaml")["categories"]]
        draft.comments += [note.text("text") for note in node.nodes("note") if draft.title != "Observations" and note.text("text")]
        patient = self.resolve(node.node("subject"), node)
        return draft.report(
            FORMAT,
            next((kind for kind in kinds if kind != "laboratory"), None),
            otherwise="laboratory" if kinds else "other",
            id=identifier,
            status=status,
            time=_time(node),
            issued=iso_time(node.text("issued")),
            patient=self._person(draft, patient),
            device=self._device(node),
        )

    def _form(self, draft: Draft, form: Node, report: Node) -> None:
        """A report's document: read where there are no results, else kept as a comment."""
        kind, title = form.text("contentType").split(";")[0], form.text("title") or "document"
        place = self.span(report)
        if not form.text("data"):
            draft.problem("not_read", f"{title} ({kind}) is not in the file: {form.text('url')}", place)
            return
        try:
            data = base64.b64decode(form.text("data"), validate=True)
            if kind == "application/pdf":
                texts = [text for _, text in pages(data, title)]
            elif kind in ("text/plain", "text/html"):
                text = decoded(data, title).text
                texts = [from_html(text) if kind == "text/html" else text]
            else:
                raise ReportError(f"{kind} is not read", "Open it by itself")
        except (binascii.Error, ReportError) as error:
            draft.problem("bad_display", f"{title}: {error}", place)
            return
        for text in texts:
            if draft.findings:
                draft.comments.append(text)
            else:
                add_statements(draft, text, lambda *_: place)

    # --- observations -------------------------------------------------------------------------------------------------------------------

    def add(self, draft: Draft, observation: Node, seen: set[int]) -> None:
        """Adds an observation with its components and members; one that was cancelled is a problem."""
        if id(observation.content) in seen:
            draft.problem("circular", "an observation is a member of itself", self.span(observation))
            return
        self.used.add(id(observation.content))
        span = self.span(observation)
        _, _, name = _coding(observation.node("code"))
        status = cast(Status, content("fhir.yaml")["status"].get(observation.text("status"), "unknown"))
        if status == "cancelled":
            draft.problem("cancelled", f"{name}: status is {observation.text('status')}", span)
            return
        more: dict[str, Any] = {
            "status": status,
            "time": _time(observation),
            "device": self._device(observation),
            "method": _coding(observation.node("method"))[2],
            "comments": self._comments(observation),
        }
        components = observation.nodes("component")
        if not components or _has_value(observation) or observation.has("dataAbsentReason"):
            self._value(draft, observation, span, more)
        for component in components:
            self._value(draft, component, span, more)
        for member in observation.nodes("hasMember"):
            if held := self.resolve(member, observation):
                self.add(draft, held, seen | {id(observation.content)})
            else:
                draft.problem("missing_result", f"{member.text('display') or member.text('reference')} is not in the file", span)

    def _value(self, draft: Draft, part: Node, span: Span, more: dict[str, Any]) -> None:
        code, system, name = _coding(part.node("code"))
        flag = " ".join(filter(None, (_coding(item)[0] or _coding(item)[2] for item in part.nodes("interpretation"))))
        more = {**more, "code": code, "system": system, "flag": flag}
        quantity = part.node("valueQuantity")
        sampled = part.node("valueSampledData")
        if quantity.text("value"):
            comparator = cast(Comparator, quantity.text("comparator") if quantity.text("comparator") in ("<", ">", "<=", ">=") else "")
            unit = quantity.text("unit") or quantity.text("code")
            unit = quantity.text("code") if not unit_of(unit) and unit_of(quantity.text("code")) else unit
            draft.result(name, quantity.text("value"), unit, span, limits=_limits(part), comparator=comparator, **more)
        elif sampled:
            self._samples(draft, name, sampled, part, span, more)
        elif reason := _coding(part.node("dataAbsentReason"))[2] or _absent(quantity):
            draft.statement(name, f"{name}: no result ({reason})", span, **more)
        elif coded := _coding(part.node("valueCodeableConcept"))[2]:
            draft.statement(name, f"{name} {coded}", span, written_value=coded, **more)
        elif words := _said(part):
            draft.result(name, words, "", span, limits=_limits(part), **more)
        elif _has_value(part):
            draft.problem("bad_value", f"{name}: its value cannot be read", span)
        else:
            draft.statement(name, f"{name}: no result", span, **more)

    def _samples(self, draft: Draft, name: str, sampled: Node, part: Node, span: Span, more: dict[str, Any]) -> None:
        words = sampled.text("data").split()
        dimensions = max(1, int(sampled.number("dimensions") or 1))
        origin, factor, period = sampled.node("origin").number("value"), sampled.number("factor"), sampled.number("period")
        unit = unit_of(sampled.text("origin", "unit")) or unit_of(sampled.text("origin", "code"))
        if not words or len(words) > _SAMPLES or not period or period <= 0 or len(words) % dimensions:
            draft.problem("bad_signal", f"{name}: {len(words)} samples of {dimensions} dimensions, period {period}", span)
            return
        beyond = {"L": sampled.number("lowerLimit"), "U": sampled.number("upperLimit"), "E": None}
        values = np.array([_sample(word, beyond) for word in words]).reshape(-1, dimensions)
        if (lost := int(np.isnan(values).sum()) - words.count("E")) > 0:
            draft.problem("bad_number", f"{name}: {lost} samples are no numbers", span)
        scaled = values * (1.0 if factor is None else factor) + (origin or 0.0)
        for place in range(dimensions):
            label = name if dimensions == 1 else f"{name} {place + 1}"
            draft.signals.append(
                Signal(name=label, values=scaled[:, place], unit=unit, source=span, rate=1000 / period, start=more["time"])
            )

    def _comments(self, observation: Node) -> tuple[str, ...]:
        specimen = self.resolve(observation.node("specimen"), observation)
        notes = [note.text("text") for node in (observation, specimen) for note in node.nodes("note")]
        conditions = [f"Specimen: {_coding(condition)[2]}" for condition in specimen.nodes("condition")]
        site = _coding(observation.node("bodySite"))[2]
        return tuple(filter(None, (*notes, *conditions, f"Site: {site}" if site else "")))

    def _device(self, node: Node) -> str:
        reference = node.node("device")
        device = self.resolve(reference, node)
        names = [name.text("name") for name in device.nodes("deviceName")]
        parts = [*names, device.text("manufacturer"), device.text("modelNumber"), device.text("serialNumber")]
        return " ".join(filter(None, parts)) or reference.text("display")

    def _person(self, draft: Draft, patient: Node) -> Person:
        if not patient:
            return Person()
        span = self.span(patient)
        name = next((name for name in patient.nodes("name") if name.text("use") == "official"), (patient.nodes("name") or [Node(None)])[0])
        given = name.content.get("given")
        born = day_of(patient.text("birthDate"))
        if patient.text("birthDate") and not born:
            draft.problem("bad_date", f"date of birth {patient.text('birthDate')!r}", span)
        gender = patient.text("gender")
        return Person(
            identifiers=identified(draft, [(_identifier_kind(item), item.text("value")) for item in patient.nodes("identifier")], span),
            family=name.text("family"),
            given=" ".join(part for part in given if isinstance(part, str)) if isinstance(given, list) else "",
            birth_date=born,
            sex=cast(Any, gender if gender in ("female", "male", "other") else "unknown"),
        )


def _coding(concept: Node) -> tuple[str, str, str]:
    """Code, coding system and words of a concept; LOINC before any other coding."""
    codings = [coding for coding in concept.nodes("coding") if coding.text("code") and "data-absent-reason" not in coding.text("system")]
    chosen = next((coding for coding in codings if coding.text("system") == "http://loinc.org"), codings[0] if codings else Node(None))
    display = next((coding.text("display") for coding in concept.nodes("coding") if coding.text("display")), "")
    code, system = chosen.text("code"), chosen.text("system")
    words = concept.text("text") or chosen.text("display") or display or code or next((c.text("code") for c in concept.nodes("coding")), "")
    return code, content("fhir.yaml")["systems"].get(system, system) if code else "", words


def _limits(part: Node) -> Interval | str:
    """The reference range for healthy people, else the first."""
    ranges = part.nodes("referenceRange")
    normal = [found for found in ranges if _coding(found.node("type"))[0] in ("", "normal")]
    if not ranges:
        return ""
    found = (normal or ranges)[0]
    low, high = found.node("low"), found.node("high")
    if not low and not high:
        return found.text("text")
    sides = (
        f"{low.text('value')} - {high.text('value')}" if low and high else f">= {low.text('value')}" if low else f"<= {high.text('value')}"
    )
    return Interval(low=low.number("value"), high=high.number("value"), text=found.text("text") or sides)


def _said(part: Node) -> str:
    """A value in words or a plain one, as a report would print it."""
    ratio, both = part.node("valueRatio"), part.node("valueRange")
    if part.flag("valueBoolean") is not None:
        return "yes" if part.flag("valueBoolean") else "no"
    if ratio:
        return f"{ratio.text('numerator', 'value')}:{ratio.text('denominator', 'value')}"
    if both:
        return f"{both.text('low', 'value')} - {both.text('high', 'value')} {both.text('high', 'unit') or both.text('low', 'unit')}".strip()
    return next((part.text(name) for name in _VALUES if part.text(name)), "")


def _has_value(part: Node) -> bool:
    return any(name.startswith("value") for name in part.content)


def _absent(quantity: Node) -> str:
    """The reason that an extension gives for a value that is missing."""
    return next((item.text("valueCode") for item in quantity.nodes("extension") if item.text("url").endswith("/data-absent-reason")), "")


def _sample(word: str, beyond: dict[str, float | None]) -> float:
    if word in beyond:
        limit = beyond[word]
        return math.nan if limit is None else limit
    try:
        return float(word)
    except ValueError:
        return math.nan


def _time(node: Node) -> Any:
    period = node.node("effectivePeriod")
    return iso_time(node.text("effectiveDateTime") or period.text("start") or node.text("effectiveInstant"))


def _identifier(node: Node) -> str:
    return next((found.text("value") for found in node.nodes("identifier") if found.text("value")), node.text("id"))


def _identifier_kind(identifier: Node) -> str:
    system = identifier.text("system")
    codes = [coding.text("code") for coding in identifier.node("type").nodes("coding")]
    named = next((content("fhir.yaml")["identifier_types"][code] for code in codes if code in content("fhir.yaml")["identifier_types"]), "")
    return str(content("fhir.yaml")["identifiers"].get(system) or named or system or "id")
