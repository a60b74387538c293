"""Reports become pairs that keep the report's words, name their place, and neither dose nor reassure."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.corpus.conversation import Conversation
from bedside.corpus.pairs.library import library_records
from bedside.corpus.sources import BadRecord, Record, known_readers, read_source
from bedside.corpus.unsafe import unsafe
from bedside.errors import SourceError
from bedside.knowledge.report_facts import report_rules
from bedside.reports.invented import cases
from bedside.reports.narrative import is_supported, prompt
from bedside.reports.pairs import read, read_invented
from bedside.workspace.ledger import DropLedger

HL7 = "\r".join(
    (
        r"MSH|^~\&|LAB|X|||20260101||ORU^R01|1|P|2.4",
        "PID|1||2950341791^^^AUSHIC^MC||TESTPERSON^ALEX||19500101|M",
        "OBR|1||77|UE^Urea and electrolytes^L|||20260101",
        "OBX|1|NM|2823-3^Potassium^LN||6.6|mmol/L|3.5-5.2|HH|||F",
        "OBX|1|NM|2823-3^Potassium^LN||6.8|mmol/L|3.5-5.2|HH|||C",
        "OBX|2|NM|2345-7^Glucose^LN||450|mg/dL|||||F",
        r"OBX|3|ST|x^Rhythm^L||Atrial fibrillation \T\ artefact||||||F",
        "OBX|4|NM|2951-2^Sodium^LN||118|mmol/L|135-145||||X",
        "OBX|5|NM|2028-9^Bicarbonate^LN||25|mmol/L|22-32||||F",
        "",
    )
)


def pairs(path: Path, ledger: DropLedger | None = None) -> list[Conversation]:
    return list(read_source("diagnostics", path, source="s", licence="own", locale="en-AU", ledger=ledger or DropLedger()))


def answers(path: Path, pair: str) -> list[str]:
    return [found.messages[-1].content for found in pairs(path) if found.labels["pair"] == pair]


def test_the_readers_are_found_by_name() -> None:
    assert {"diagnostics", "invented_reports"} <= set(known_readers())


def test_results_that_were_corrected_or_cancelled_are_counted_and_not_taught(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_text(HL7)
    ledger = DropLedger()
    found = pairs(tmp_path / "oru.hl7", ledger)
    assert ledger.counts()["sources/dropped/superseded"] == ledger.counts()["sources/dropped/cancelled"] == 1
    taught = [message.content for pair in found if pair.labels["pair"] != "summary" for message in pair.messages]
    assert not any("118" in words or "6.6 mmol/L (3.5-5.2)" in words or "Reported: Potassium 6.6" in words for words in taught)


def test_every_pair_names_the_characters_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_text(HL7)
    found = pairs(tmp_path / "oru.hl7")
    assert {"note", "template", "summary"} <= {pair.labels["pair"] for pair in found}
    for pair in found:
        span = pair.labels["span"]
        assert span["file"] == "oru.hl7" and HL7[span["start"] : span["end"]].startswith("OBX|")


def test_the_patients_record_beside_a_report_makes_its_notes(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_text(HL7)
    before = Counter(pair.labels.get("rule") for pair in pairs(tmp_path / "oru.hl7"))
    (tmp_path / "oru.hl7.patient.yaml").write_text(
        "birth_date: 1950-01-01\nmedicines: [ramipril 5 mg, spironolactone 25 mg]\nspecimen: []\n"
    )
    after = pairs(tmp_path / "oru.hl7")
    assert "report.potassium-medicines" not in before
    (entry, question) = [pair for pair in after if pair.labels.get("rule") == "report.potassium-medicines"]
    assert "Potassium 6.8 mmol/L" in entry.messages[0].content and "On record: " in entry.messages[0].content
    assert entry.messages[0].content.startswith("Interpret this device log entry") and question.messages[0].content.startswith("What does")
    for part in (
        "Reported: Potassium 6.8 mmol/L",
        "Standard finding: ",
        "Interpretation: ",
        "Explanation: Rule report.potassium-medicines",
    ):
        assert part in entry.messages[1].content


def test_an_experts_own_words_answer_the_report(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("Indication: cough\nFindings: FEV1/FVC z -2.1.\nImpression: Obstruction.\n")
    (answer,) = answers(tmp_path / "r.txt", "expert")
    assert answer.endswith("Interpretation: Obstruction.") and "FEV1/FVC" in answer


def test_a_fhir_conclusion_answers_its_report(tmp_path: Path) -> None:
    observation = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "QTc"},
        "valueQuantity": {"value": 492, "unit": "ms"},
    }
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "ECG"},
        "result": [{"reference": "Observation/o1"}],
        "conclusion": "Prolonged QTc.",
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": report}, {"resource": observation}]}
    (tmp_path / "b.json").write_text(json.dumps(bundle))
    (answer,) = answers(tmp_path / "b.json", "expert")
    assert "QTc" in answer and answer.endswith("Interpretation: Prolonged QTc.")


def test_no_unit_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("test,value,unit\nCRP,140,\nCRP,150,furlong\nCRP,160,mg/L\n")
    ledger = DropLedger()
    templates = [pair.labels["template"] for pair in pairs(tmp_path / "a.csv", ledger) if pair.labels["pair"] == "template"]
    assert templates == ["lab.crp.high"] * 2
    assert ledger.counts()["sources/dropped/no_unit"] == 1 and ledger.counts()["sources/dropped/unknown_unit"] == 1


def test_a_folder_in_which_nothing_is_a_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00\x01")
    with pytest.raises(SourceError, match="unreadable_report"):
        pairs(tmp_path)


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> list[Record | BadRecord]:
    path = tmp_path_factory.mktemp("invented") / "i.yaml"
    path.write_text("{each: 1, seed: 5}")
    return list(read_invented(path))


def test_invented_reports_make_nearly_every_rule_fire(invented: list[Record | BadRecord]) -> None:
    silent = [record.where for record in invented if isinstance(record, BadRecord) and record.reason == "not_invented"]
    assert len(silent) <= 0.05 * len(report_rules()), silent


def test_the_same_seed_invents_the_same_reports() -> None:
    few = report_rules()[:6]
    assert [case.message for case in cases(each=2, seed=3, rules=few)] == [case.message for case in cases(each=2, seed=3, rules=few)]


def test_invented_pairs_are_of_every_sort_and_few_are_unfit_to_be_taught(invented: list[Record | BadRecord]) -> None:
    records = [record for record in invented if isinstance(record, Record)]
    assert Counter(record.labels["pair"] for record in records).keys() == {"note", "template", "summary"}
    assert sum(isinstance(record, BadRecord) for record in invented) < 0.1 * len(invented)
    some = records[::9]
    # The guard takes mL/min for a dose; curation drops such pairs and says so.
    dropped = [
        record.where
        for record in some
        if any(one.action == "drop" for one in unsafe(record.messages[-2][1], record.messages[-1][1], day=date(2026, 11, 22)))
    ]
    assert len(dropped) <= 0.1 * len(some), dropped


def test_a_summary_is_asked_for_in_the_words_that_are_used_at_work(invented: list[Record | BadRecord]) -> None:
    summaries = [record for record in invented if isinstance(record, Record) and record.labels["pair"] == "summary"]
    assert {record.messages[0][1] for record in summaries} == {prompt(["x"], 768)[0]["content"]}
    assert all(len(record.messages[1][1]) < 1100 for record in summaries)


def test_a_summary_to_be_learnt_says_nothing_that_its_prompt_does_not(tmp_path: Path) -> None:
    (tmp_path / "oru.hl7").write_text(HL7)
    (summary,) = [pair for pair in pairs(tmp_path / "oru.hl7") if pair.labels["pair"] == "summary"]
    lines = [line.removeprefix("- ") for line in summary.messages[1].content.splitlines()]
    first = summary.messages[2].content.split(". ")[0] + "."
    assert is_supported(first, lines)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{each: many, seed: 1}", "{each: 3}", "{each: 3, seed: 1, more: 2}", "a: [", "{each: true, seed: 1}"]
)
def test_a_file_that_does_not_say_how_many_to_invent_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "i.yaml").write_text(text)
    with pytest.raises(SourceError, match="each: 8"):
        list(read_invented(tmp_path / "i.yaml"))


def test_library_pairs_come_with_the_invented_ones() -> None:
    assert len(list(library_records(each=1, seed=1))) >= 60


@given(
    st.sampled_from([".hl7", ".json", ".csv", ".txt", ".gdt"]),
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(HL7)), st.integers(0, len(HL7)), st.text(max_size=5)).map(lambda cut: (HL7[: cut[0]] + cut[2] + HL7[cut[1] :]).encode("utf-8", "replace")),
    ),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_costs_records_and_never_the_run_and_nothing_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with caplog.at_level(logging.DEBUG):
        for record in read(path):
            assert isinstance(record, BadRecord) or record.labels["span"]["file"] == path.name
    assert not caplog.records
