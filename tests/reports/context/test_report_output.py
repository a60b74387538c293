"""What people and systems get: JSON, terminal, page, FHIR, summary, answers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from test_report_worked_examples import assessed, cases

from bedside.engine.base import Engine, FinishReason, Reply
from bedside.engine.contract import ChatContract, ChatMessage
from bedside.knowledge import store
from bedside.knowledge.report_facts import report_rules
from bedside.knowledge.store import Shelf
from bedside.reports.assistant import DISCLAIMER, Assessment, as_json, assess, report
from bedside.reports.fhir_out import bundle
from bedside.reports.narrative import is_supported
from bedside.reports.page import page
from bedside.reports.plots import Plot
from bedside.reports.questions import NOT_THERE, answer
from bedside.reports.terminal import render

CASES = {case["example"]: case for case in cases("worked_examples.yaml")}


@pytest.fixture(scope="module")
def potassium() -> Assessment:
    return assessed(CASES[2])


class Told(Engine):
    """An engine that says a fixed text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.contract = ChatContract(
            template_name="chatml",
            template="",
            bos_token="",
            eos_token="",
            bos_id=None,
            eos_id=0,
            pad_id=0,
            stop_ids=(0,),
            adds_bos=False,
            max_length=768,
            tokenizer_sha256="0" * 64,
            systems={},
        )

    def reply(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
    ) -> Reply:
        return Reply(self.text, (), "stop", 0, 0, 0.0)

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, FinishReason]:
        yield self.text
        return "stop"

    def close(self) -> None:
        pass


def test_json_has_the_keys_of_the_interface(potassium: Assessment) -> None:
    found = as_json(potassium)
    assert list(found) == ["findings", "notes", "quality", "missing", "summary"]
    assert list(found["findings"][0]) == ["code", "text", "value", "unit", "range", "flag", "source"]
    assert all({"rule", "text", "urgency", "because"} <= note.keys() for note in found["notes"])
    assert all(note["because"] for note in found["notes"])


def test_a_model_says_nothing_that_findings_do_not_bear_out(potassium: Assessment) -> None:
    told = "Potassium 6.3 mmol/L with ramipril and spironolactone. Potassium is 7.1 mmol/L. The patient has Addison disease. Give calcium gluconate 10 mL. No ECG is needed."
    found = assess(potassium.context.reports, potassium.context.record, engine=Told(told))
    assert found.summary.by == "model" and found.summary.removed == 4
    assert "Potassium 6.3 mmol/L with ramipril and spironolactone." in found.summary.text
    assert not any(word in found.summary.text for word in ("7.1", "Addison", "gluconate", "No ECG"))
    assert potassium.notes[0].text in found.summary.text


def test_a_model_that_says_nothing_true_leaves_the_template(potassium: Assessment) -> None:
    found = assess(potassium.context.reports, potassium.context.record, engine=Told("Everything is fine. Sodium 140."))
    assert (found.summary.by, found.summary.removed, found.summary.text) == ("template", 2, potassium.summary.text)


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("Potassium 6.3 mmol/L is high.", True),
        ("Potassium is low at 6.3 mmol/L.", False),
        ("Sodium 6.3 mmol/L.", False),
        ("Haemolysis is present.", False),
        ("eGFR 34.", True),
        ("Potassium 34.", False),
    ],
)
def test_numbers_and_words_are_checked_back(sentence: str, holds: bool) -> None:
    sources = [
        "Potassium 6.3 mmol/L: high, flagged H by the report (range 3.5–5.2).",
        "eGFR 34 mL/min/1.73 m²",
        "Specimen: no haemolysis is present",
    ]
    assert is_supported(sentence, sources) is holds


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What is the potassium?", "Potassium 6.3 mmol/L [report.hl7 OBX[1]]"),
        ("K+ level?", "6.3"),
        ("what is the eGFR", "eGFR 34"),
        ("Is anything abnormal?", "Potassium"),
    ],
)
def test_a_question_is_answered_with_pointers(potassium: Assessment, question: str, words: str) -> None:
    found = answer(question, potassium)
    assert words in found.text and found.pointers


@pytest.mark.parametrize("question", ["What is the sodium?", "Does he have diabetes?", "", "write a poem", "?" * 5000])
def test_what_is_not_in_the_report_is_said_to_be_not_there(potassium: Assessment, question: str) -> None:
    assert answer(question, potassium).text == NOT_THERE


@pytest.mark.parametrize("example", sorted(CASES))
def test_notes_are_valid_fhir(example: int) -> None:
    r4b = pytest.importorskip("fhir.resources.R4B.bundle")
    found = assessed(CASES[example])
    made = r4b.Bundle.model_validate(bundle(found))
    kinds = [entry.resource.get_resource_type() for entry in made.entry]
    assert kinds == ["Observation", "Provenance"] * (len(found.notes) + len(found.quality))
    assert all(entry.resource.status == "preliminary" for entry in made.entry[::2])


def test_the_page_stands_alone_and_escapes_what_reports_say() -> None:
    case = {"kind": "ecg", "says": ["<script>alert(1)</script> Normal ECG"], "patient": {"symptoms": ["chest pain <b>now</b>"]}}
    html = page(assessed(case), [Plot("Lead II", "<svg viewBox='0 0 1 1'></svg>", "ten seconds of lead II")])
    assert "<script" not in html and "&lt;script&gt;" in html and "<b>now" not in html
    assert "<svg viewBox" in html and 'aria-label="ten seconds of lead II"' in html
    assert html.count(DISCLAIMER) == 2 and "http://" not in html and "https://" not in html


def test_the_terminal_shows_summary_notes_and_limits(potassium: Assessment) -> None:
    console = Console(file=StringIO(), width=160)
    console.print(render(potassium))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "report.potassium-medicines" in shown and "Not a medical device" in shown


def test_a_file_becomes_an_assessment(tmp_path: Path) -> None:
    path, patient = tmp_path / "result.hl7", tmp_path / "patient.yaml"
    lines = [
        "MSH|^~\\&|LAB|PATH|GP|CLINIC|20261120093000+1000||ORU^R01|1|P|2.4",
        "PID|1||||CITIZEN^ALEX||19600504|F",
        "OBR|1|1|A1|EUC^Electrolytes^L|||20261120080000+1000|||||||||||||||||||F",
        "OBX|1|NM|2823-3^Potassium^LN||6.3|mmol/L|3.5-5.2|H|||F",
        "NTE|1||Specimen haemolysed ++",
    ]
    path.write_text("\r".join(lines))
    patient.write_text(
        "{name: Alex Citizen, birth_date: 1960-05-04, sex: female, results: [{name: K, value: 4.4, unit: mmol/L, date: 2026-05-01}]}"
    )
    found = as_json(report(path, patient))
    assert found["findings"][0]["code"] == "2823-3" and "report.haemolysis" in [note["rule"] for note in found["notes"]]


SHELVES = (
    Shelf("analytes", "analytes.yaml", "bedside.knowledge.report_facts:Analyte"),
    Shelf("reference_intervals", "reference_intervals.yaml", "bedside.knowledge.report_facts:ReferenceInterval"),
    Shelf("report_terms", "report_terms.yaml", "bedside.knowledge.report_facts:Term"),
    Shelf("report_sums", "report_sums.yaml", "bedside.knowledge.report_facts:Sum"),
    Shelf("report_rules", "bedside.knowledge.report_facts:report_rules", "bedside.knowledge.report_facts:ReportRule"),
)


def test_the_facts_stand_on_shelves_and_no_id_twice() -> None:
    ids = [fact.id for shelf in store.SHELVES.values() for fact in store.facts(shelf.name)]
    own = [
        fact.id
        for shelf in SHELVES
        if shelf.name not in store.SHELVES
        for fact in (report_rules() if shelf.name == "report_rules" else store.built_in(shelf.fact_model(), shelf.source))
    ]
    assert len(set(ids + own)) == len(set(ids)) + len(own)
