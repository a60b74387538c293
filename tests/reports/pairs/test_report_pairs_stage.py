"""The corpus stage of a recipe on reports: what makes it run again, and what of a clinician's pairs is held back."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from bedside import pipeline
from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.corpus.overview import overview
from bedside.corpus.sources import read_source
from bedside.corpus.unsafe import check_conversation
from bedside.recipe.models import Recipe
from bedside.workspace.ledger import DropLedger
from bedside.workspace.run import Run, StageResult

DAY = date(2026, 11, 22)
HL7 = "\r".join(
    (
        r"MSH|^~\&|LAB|X|||20260101||ORU^R01|1|P|2.4",
        "PID|1||2950341791^^^AUSHIC^MC||TESTPERSON^ALEX||19500101|M",
        "OBR|1||77|UE^Urea and electrolytes^L|||20260101",
        "OBX|1|NM|2823-3^Potassium^LN||6.6|mmol/L|3.5-5.2|HH|||F",
        r"OBX|2|ST|x^Clinical history^L||Crushing chest pain and short of breath||||||F",
        "",
    )
)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "oru.hl7").write_text(HL7)
    (tmp_path / "oru.hl7.patient.yaml").write_text("birth_date: 1950-01-01\nmedicines: [ramipril 5 mg]\nspecimen: []\n")
    return tmp_path / "oru.hl7"


def curated(report: Path) -> StageResult:
    corpus = {
        "sources": [{"name": "own", "reader": "diagnostics", "path": str(report), "licence": "own"}],
        "decontaminate_meaning": None,
        "max_dropped_share": 1.0,
        "processes": 1,
    }
    recipe = Recipe.model_validate(
        {
            "name": "trial",
            "description": "A trial.",
            "task": "answer",
            "base": {"source": "/none", "licence": "own", "template": "chatml"},
            "corpus": corpus,
            "training": {"stages": [{"name": "one", "use": "sources", "rows": 1, "learning_rate": 0.1}]},
            "evaluation": {"suite": None},
            "release": {"quantisation": "Q8_0"},
        }
    )
    return pipeline.Pipeline(recipe, report.parent, Run(report.parent / "run"), Console(file=io.StringIO())).curate()


def test_a_changed_report_or_record_beside_it_makes_the_corpus_anew(report: Path) -> None:
    assert not curated(report).skipped and curated(report).skipped
    beside = report.with_name("oru.hl7.patient.yaml")
    beside.write_text(beside.read_text().replace("ramipril", "perindopril"))
    assert not curated(report).skipped and curated(report).skipped
    report.write_text(HL7.replace("|6.6|", "|6.1|"))
    assert not curated(report).skipped


def test_changed_data_of_the_readers_makes_the_corpus_anew(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data" / "tables.yaml"
    data.parent.mkdir()
    data.write_text("layouts: []\n")
    monkeypatch.setattr(pipeline, "_REPORT_DATA", ("reports", str(data.parent)))
    assert not curated(report).skipped and curated(report).skipped
    data.write_text("layouts: [{}]\n")
    assert not curated(report).skipped


def test_what_a_clinician_reads_is_not_held_back_for_silence_on_a_red_flag_and_that_is_counted(report: Path) -> None:
    pairs = list(read_source("diagnostics", report, source="own", licence="own", locale="en-AU", ledger=DropLedger()))
    assert {pair.labels["audience"] for pair in pairs} == {"clinician"}
    stage = curated(report)
    exempt = stage.facts["dropped"]["unsafe/exempt/silent-on-red-flag"]
    assert exempt > 0 and "unsafe/review/silent-on-red-flag" not in stage.facts["dropped"]
    assert any((line.action, line.entries) == ("exempt", exempt) for line in overview(report.parent / "run").reasons)


@pytest.mark.parametrize(("labels", "action"), [({}, "review"), ({"audience": "patient"}, "review"), ({"audience": "clinician"}, "exempt")])
def test_only_a_clinicians_record_is_exempt_and_only_from_that_rule(labels: dict[str, str], action: str) -> None:
    origin = Provenance(source="s", where="f:1", family="f")
    asked = Message(role="user", content="I have crushing chest pain and I am short of breath")
    silent, dosing = (Message(role="assistant", content=text) for text in ("It may come from the ribs.", "Take 5 mg of it."))
    ledger = DropLedger()
    found = check_conversation(Conversation(messages=(asked, silent), provenance=origin, labels=labels), ledger, day=DAY)
    assert ledger.counts() == {f"unsafe/{action}/silent-on-red-flag": 1} and len(found) == (action == "review")
    ledger = DropLedger()
    check_conversation(Conversation(messages=(asked, dosing), provenance=origin, labels=labels), ledger, day=DAY)
    assert ledger.counts()["unsafe/dropped/dose"] == 1
