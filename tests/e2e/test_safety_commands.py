"""The commands of the safety core, as a user and a stream meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest_e2e import bedside, lines

LOWERED = """
changes:
  - rule: RF33
    from: {was}
    to: SAME_DAY
"""
SIGNED = LOWERED + '    sign_off: {{by: Dr Example Person, role: gp, date: 2026-11-01, reason: "local agreement with the hospital"}}\n'


def stream(command: str, *rows: dict[str, object], arguments: tuple[str, ...] = ()) -> list[dict[str, object]]:
    done = bedside(command, "--jsonl", *arguments, stdin="".join(json.dumps(row) + "\n" for row in rows))
    assert done.returncode == 0, done.stderr
    return lines(done.stdout)


def test_triage_tells_the_disposition_and_the_words_that_decided_it() -> None:
    text = "Just a script for mum. And dad's collapsed, he's not breathing!"
    urgent, admin, nothing = stream(
        "triage", {"id": 1, "text": text}, {"id": "b", "text": "what time do you close"}, {"id": "c", "text": ""}
    )
    assert urgent["disposition"] == "E000" and urgent["id"] == 1
    assert all(word in text for flag in urgent["red_flags"] for word in flag["evidence"])  # type: ignore[attr-defined]
    assert admin == {"id": "b", "disposition": "ADMIN", "red_flags": [], "ask": []}
    assert nothing["disposition"] == "HUMAN"


def test_a_practice_cannot_lower_a_red_flag_without_a_signature(tmp_path: Path) -> None:
    said = "redback bit me on the hand and the pain's spreading up my arm"
    was = str(stream("triage", {"id": 1, "text": said})[0]["disposition"])
    unsigned, signed = tmp_path / "unsigned.yaml", tmp_path / "signed.yaml"
    unsigned.write_text(LOWERED.format(was=was), encoding="utf-8")
    signed.write_text(SIGNED.format(was=was), encoding="utf-8")
    refused = bedside("triage", said, "--protocol", str(unsigned))
    assert refused.returncode == 2 and "sign_off" in refused.stderr and "Traceback" not in refused.stderr
    shown = bedside("triage", said, "--protocol", str(signed))
    assert shown.returncode == 0 and "SAME_DAY" in shown.stdout and "Dr Example Person" in shown.stdout


def test_medicines_are_found_with_their_places() -> None:
    text = "need me Eliquis and two Panadeine Forte scripts"
    (found,) = stream("medicines", {"id": "m", "text": text})
    assert {m["generic"] for m in found["medicines"]} == {"apixaban", "paracetamol", "codeine"}  # type: ignore[attr-defined]
    assert all(text[m["start"] : m["end"]] == m["text"] and 0 < m["confidence"] <= 1 for m in found["medicines"])  # type: ignore[attr-defined]


def test_an_unknown_medicine_is_never_called_safe() -> None:
    severe, unknown, none = stream(
        "interactions",
        {"id": 1, "a": "Marevan", "b": "Nurofen"},
        {"id": 2, "a": "warfarin", "b": "glimbuzole"},
        {"id": 3, "a": "panadol", "b": "amoxil"},
    )
    assert severe["severity"] in {"major", "contraindicated"} and severe["rules"]
    assert unknown["severity"] == "unknown"
    assert none["severity"] in {"none", "minor"}


def test_medicare_answers_by_date_and_a_bad_line_stops_no_other() -> None:
    before, after, bad, future = stream(
        "medicare",
        {"id": 1, "check": "item_active", "facts": {"item": "721", "date": "2025-06-30"}},
        {"id": 2, "check": "item_active", "facts": {"item": "721", "date": "2025-07-01"}},
        {"id": 3, "check": "copay", "facts": {"nonsense": 1}},
        {"id": 4, "check": "copay", "facts": {"date": "2027-01-01", "concession": False, "ctg": False, "safety_net": False}},
    )
    assert (before["answer"], after["answer"]) == ("yes", "no") and before["rule"] and before["source"]
    assert bad["answer"] == "unknown" and "nonsense" in str(bad["because"])
    assert future["answer"] == "unknown"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["knowledge", "show", "RF01"], "not reviewed"),
        (["knowledge", "changes", "2027-01-01"], "PBS-1-2026"),
        (["knowledge", "changes", "2025-11-01"], "begins"),
        (["knowledge", "check"], "unreviewed"),
        (["medicare"], "telehealth_ok"),
        (["medicines", "the chemist is out of lypralin"], "pregabalin"),
        (["interactions", "viagra", "gtn"], "Not a medical device"),
    ],
)
def test_each_command_explains_itself(arguments: list[str], says: str) -> None:
    done = bedside(*arguments)
    assert done.returncode == 0 and says in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["knowledge", "show", "RF999"], "RF999"),
        (["medicare", "copey"], "copay"),
        (["triage", "hello", "--protocol", "nowhere.yaml"], "nowhere.yaml"),
        (["medicare", "copay", "date=never"], "date"),
    ],
)
def test_a_mistake_is_named_with_the_next_step(arguments: list[str], names: str) -> None:
    done = bedside(*arguments)
    assert done.returncode == 2 and names in done.stderr and "Traceback" not in done.stderr


def test_a_practices_own_red_flag_fires(tmp_path: Path) -> None:
    own = tmp_path / "protocol.yaml"
    own.write_text(
        "add:\n  red_flags:\n  - {id: OWN1, source: our clinical meeting, certainty: C, picture: chest pain, routes: [{to: E000, when: [chest_pain]}]}\n",
        encoding="utf-8",
    )
    shown = bedside("triage", "I've got chest pain", "--protocol", str(own))
    assert shown.returncode == 0 and "OWN1" in shown.stdout
    own.write_text(own.read_text(encoding="utf-8").replace("[chest_pain]", "[moon_pain]"), encoding="utf-8")
    refused = bedside("triage", "I've got chest pain", "--protocol", str(own))
    assert refused.returncode == 2 and "moon_pain" in refused.stderr
