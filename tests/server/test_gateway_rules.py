"""The rules without a model: the API answers what the commands write, a line at a time or in batches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedside.engine.contract import ChatContract
from bedside.workspace.audit import AuditLog
from fixtures_gateway import Told, open_told, problem, served

TEXTS = ["me husband took a heap of his mates tablets", "i'd like my script for coversyl", "…", "Grüße ☂ chest pain since this morning"]
PAIRS = [("warfarin", "ibuprofen"), ("panadol", "nothing known"), ("viagra", "GTN spray")]
NOTE = "Mary Brown, born 3/4/1962, of 12 Wattle Street rang from 0491 570 006."


@pytest.fixture(scope="module")
def url(chatml_contract: ChatContract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(open_told(tmp_path_factory.mktemp("rules"), Told(chatml_contract))) as address:
        yield address


def post(url: str, path: str, body: Any) -> httpx.Response:
    return httpx.post(url + path, json=body, timeout=30, trust_env=False)


def lines(command: str, rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "bedside.cli", command, "--jsonl"],
        input="\n".join(json.dumps(row) for row in rows),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "items", "rows"),
    [
        ("triage", {"texts": TEXTS}, [{"text": text} for text in TEXTS]),
        ("deidentify", {"texts": [NOTE, *TEXTS]}, [{"text": text} for text in [NOTE, *TEXTS]]),
        ("interactions", {"pairs": [{"a": a, "b": b} for a, b in PAIRS]}, [{"a": a, "b": b} for a, b in PAIRS]),
    ],
)
def test_answers_are_the_lines_of_the_command(url: str, command: str, items: dict[str, Any], rows: list[dict[str, str]]) -> None:
    results = post(url, f"/v1/{command}", items).json()["results"]
    assert results == lines(command, [{"id": str(number), **row} for number, row in enumerate(rows, 1)])


def test_one_is_answered_as_one_of_several(url: str) -> None:
    for text in TEXTS:
        single = post(url, "/v1/triage", {"text": text}).json()
        assert post(url, "/v1/triage", {"texts": [text]}).json() == {"results": [single]}
    urgent = post(url, "/v1/triage", {"text": TEXTS[0]}).json()
    assert urgent["disposition"] in ("E000", "E_POISON", "E_CRISIS") and urgent["red_flags"][0]["evidence"]


def test_an_unknown_medicine_is_never_called_safe(url: str) -> None:
    assert post(url, "/v1/interactions", {"a": "warfarin", "b": "ibuprofen"}).json()["severity"] in ("major", "contraindicated")
    assert post(url, "/v1/interactions", {"a": "warfarin", "b": "nothing known"}).json()["severity"] == "unknown"


def test_deidentified_text_names_nobody_and_spans_stand_in_the_text_that_came(url: str) -> None:
    found = post(url, "/v1/deidentify", {"text": NOTE}).json()
    assert "Brown" not in found["text"] and "0491" not in found["text"] and "[NAME]" in found["text"]
    assert "Mary Brown" in {NOTE[span["start"] : span["end"]] for span in found["spans"]}
    invented = post(url, "/v1/deidentify", {"text": NOTE, "mode": "surrogates", "seed": 3})
    assert invented.json() == post(url, "/v1/deidentify", {"text": NOTE, "mode": "surrogates", "seed": 3}).json()
    assert "Brown" not in invented.text and "[NAME]" not in invented.json()["text"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("triage", {}),
        ("triage", {"text": "a", "texts": ["b"]}),
        ("triage", {"texts": []}),
        ("triage", {"texts": ["a"] * 65}),
        ("triage", {"text": "a", "urgency": "ROUTINE"}),
        ("interactions", {"a": "warfarin"}),
        ("interactions", {"a": "", "b": "x"}),
        ("interactions", {"pairs": []}),
        ("deidentify", {"text": 5}),
        ("deidentify", {"text": "a", "mode": "none"}),
    ],
)
def test_what_is_no_request_is_refused(url: str, path: str, body: Any) -> None:
    problem(post(url, f"/v1/{path}", body), 400, "invalid_request")


def test_a_long_text_is_read_and_one_that_would_take_too_long_refused(url: str) -> None:
    for text in ("ha" * 25_000, "my chest hurts " * 1000, "( " * 25_000):
        assert post(url, "/v1/triage", {"text": text}).status_code == 200
    for body in ({"text": "x" * 50_001}, {"texts": ["a", "x" * 50_001]}):
        assert "at most 50000" in problem(post(url, "/v1/triage", body), 400, "invalid_request")["detail"]


def test_each_answer_is_one_event_and_a_refusal_by_the_rate_is_none(chatml_contract: ChatContract, tmp_path: Path) -> None:
    security = {"require_keys": False, "console": False, "keyless_rate_per_minute": 3}
    with served(open_told(tmp_path, Told(chatml_contract), settings={"security": security})) as url:
        statuses = [post(url, "/v1/triage", {"text": "mary brown has chest pain"}).status_code for _ in range(4)]
        late = post(url, "/v1/triage", {"text": "x"})
    assert statuses == [200, 200, 200, 429] and int(late.headers["Retry-After"]) >= 1
    log = AuditLog(tmp_path / "audit")
    events = list(log.entries(kind="api.asked"))
    assert len(events) == 3 and log.verify().broken is None
    assert events[0].data["route"] == "/v1/triage" and events[0].data["disposition"] == "E000" and events[0].data["rules"]
    assert "mary" not in (tmp_path / "audit").joinpath(f"{events[0].at:%Y-%m-%d}.jsonl").read_text(encoding="utf-8")
