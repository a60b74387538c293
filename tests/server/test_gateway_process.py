"""Gateways as real processes: one in front of another, failover, kill -9, the OpenAPI document under schemathesis."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml

from bedside.server.settings import NOTICE
from bedside.workspace.audit import AuditLog
from fixtures_gateway import ASK, NAME, OPEN, Process, problem, said

pytestmark = pytest.mark.slow
Start = Callable[..., Process]


def in_front_of(start: Start, folder: Path, *urls: str, **more: Any) -> Process:
    """A gateway whose engines are other gateways."""
    engines = [
        {"name": f"{number}", "serves": NAME, "kind": "openai", "url": url, "model": NAME, "timeout_seconds": 20}
        for number, url in enumerate(urls)
    ]
    path = folder / "gateway.yaml"
    settings = {"listen": {"port": 0}, "engines": engines, "security": OPEN, **more}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return start("--settings", str(path))


def test_a_gateway_in_front_of_a_gateway_gives_the_same_answer(gateway: Process, start: Start, tmp_path: Path) -> None:
    outer = in_front_of(start, tmp_path, gateway.url)
    whole = outer.post("/v1/chat/completions", ASK).json()["choices"][0]
    streamed = outer.post("/v1/chat/completions", {**ASK, "stream": True}).text
    assert (
        said(streamed)
        == whole["message"]["content"]
        == gateway.post("/v1/chat/completions", ASK).json()["choices"][0]["message"]["content"]
    )
    assert '"finish_reason": "length"' in streamed
    assert "1024" in problem(outer.post("/v1/chat/completions", {**ASK, "max_tokens": 1020}), 400, "engine_refused")["detail"]
    usage = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    problem(outer.post("/v1/chat/completions", usage), 400, "unsupported")


def test_when_an_engines_process_is_killed_the_next_one_answers(gateway: Process, start: Start, tmp_path: Path) -> None:
    first = start()
    outer = in_front_of(start, tmp_path, first.url, gateway.url)
    assert outer.post("/v1/chat/completions", ASK).json()["bedside"]["engine"] == "0"
    first.process.kill()
    first.process.wait()
    for stream in (False, True):
        response = outer.post("/v1/chat/completions", {**ASK, "stream": stream})
        assert response.status_code == 200 and ("[DONE]" in response.text or not stream)
    states = httpx.get(f"{outer.url}/ready").json()["engines"]
    assert [state["ready"] for state in states] == [False, True]


def test_a_client_that_keeps_its_connection_waits_for_no_acknowledgement(gateway: Process) -> None:
    """Nagle's algorithm holds the body of an answer back until the client's delayed acknowledgement of its head, some 40 ms."""
    taken = []
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        for _ in range(60):
            begun = time.perf_counter()
            client.post("/v1/triage", json={"text": "hello"}).raise_for_status()
            taken.append(time.perf_counter() - begun)
            time.sleep(0.02)
    assert statistics.median(taken) < 0.038


def test_json_by_a_schema_from_the_real_model(gateway: Process, start: Start, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "yes": {"type": "boolean"}}, "required": ["n", "yes"]}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {**schema, "additionalProperties": False}}}
    asked = {**ASK, "max_tokens": 60, "response_format": form}
    for one in (gateway, in_front_of(start, tmp_path, gateway.url)):
        client = openai.OpenAI(base_url=f"{one.url}/v1", api_key="none", max_retries=0)
        made = json.loads(client.chat.completions.create(**asked).choices[0].message.content or "")
        assert type(made["n"]) is int and type(made["yes"]) is bool and len(made) == 2


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "foo"},
        {"$ref": "https://example.org/x"},
        {"$ref": "#/nowhere"},
        {"type": "string", "pattern": "(a+"},
        {"type": "array", "minItems": 10**9},
    ],
)
def test_a_schema_that_cannot_be_held_to_is_refused_and_the_gateway_lives(gateway: Process, schema: dict[str, Any]) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert gateway.post("/v1/chat/completions", {**ASK, "response_format": form}).status_code in (200, 400)
    assert httpx.get(f"{gateway.url}/health").status_code == 200


def test_embeddings_come_from_the_engine_that_has_them(base_gguf: Path, start: Start, tmp_path: Path) -> None:
    code = (
        "import sys, time, xllamacpp as x\np = x.CommonParams()\np.model.path = sys.argv[1]\np.embedding = True\np.n_ctx = 512\n"
        "p.pooling_type = x.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN\np.verbosity = -1\ns = x.Server(p)\n"
        "print(s.listening_address, flush=True)\nsys.stdin.read()"
    )
    server = subprocess.Popen([sys.executable, "-c", code, str(base_gguf)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        engine = {"name": "e", "kind": "openai", "url": server.stdout.readline().strip(), "model": NAME, "embedding_model": "smol"}
        outer = in_front_of(start, tmp_path, engines=[engine])
        client = openai.OpenAI(base_url=f"{outer.url}/v1", api_key="none", max_retries=0)
        assert "smol" in [model.id for model in client.models.list()]
        coded = client.embeddings.create(model="smol", input=["chest pain", "a script"])
        plain = client.embeddings.create(model="smol", input="chest pain", encoding_format="float")
        assert len(coded.data) == 2 and len(coded.data[0].embedding) == 576 and coded.usage.prompt_tokens > 0
        assert plain.data[0].embedding == pytest.approx(coded.data[0].embedding, abs=1e-3)
        problem(outer.post("/v1/embeddings", {"model": NAME, "input": "x"}), 404, "model_not_found")
    finally:
        server.kill()
        server.wait()


def test_kill_9_under_load_loses_no_acknowledged_event_and_it_is_soon_back(start: Start, tmp_path: Path) -> None:
    outer = in_front_of(start, tmp_path, "http://127.0.0.1:9", state=str(tmp_path / "state"))
    acknowledged: list[str] = []

    def ask() -> None:
        with httpx.Client(base_url=outer.url, timeout=10, trust_env=False) as client:
            try:
                while True:
                    acknowledged.append(client.post("/v1/triage", json={"text": "hello"}).headers["X-Request-ID"])
            except httpx.HTTPError:
                return

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(acknowledged) <= 100 and time.monotonic() < deadline:
        time.sleep(0.05)
    outer.process.kill()
    for thread in threads:
        thread.join()
    log = AuditLog(tmp_path / "state" / "audit")
    logged = {entry.data["request"] for entry in log.entries(kind="api.asked")}
    assert len(acknowledged) > 100 and logged >= set(acknowledged)
    again = start("--settings", str(tmp_path / "gateway.yaml"))
    assert again.post("/v1/triage", {"text": "hello"}).status_code == 200
    # `python -m bench gateway` measures the start; this only finds one that became several times as slow.
    assert _processor_seconds(again) < 15
    assert log.verify().broken is None


def _processor_seconds(running: Process) -> float:
    """How long the processor worked for it, which other programs on the machine do not lengthen as they do the wall clock's time."""
    times = Path(f"/proc/{running.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def test_requests_that_overlap_at_shutdown_are_answered(start: Start, tmp_path: Path) -> None:
    running = start()
    body = {**ASK, "max_tokens": 60, "stream": True}
    with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, timeout=30) as response:
        lines = response.iter_lines()
        next(lines)
        running.process.terminate()
        assert "data: [DONE]" in list(lines)
    assert running.process.wait(20) == 0


def test_the_openapi_document_names_the_key_and_every_refusal(gateway: Process) -> None:
    document = httpx.get(f"{gateway.url}/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer" and NOTICE in document["info"]["description"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "422" not in operation["responses"] and operation["summary"]
            if path not in ("/health", "/ready", "/v1/models"):
                assert "application/problem+json" in operation["responses"]["503"]["content"] and operation["security"]
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/understand", "/v1/triage", "/v1/interactions", "/v1/deidentify"} <= set(
        document["paths"]
    )


def test_schemathesis_finds_no_server_error(gateway: Process, tmp_path: Path) -> None:
    document = httpx.get(f"{gateway.url}/openapi.json").json()
    # With names and lengths that exist, so that requests get as far as the model and its answers stay short.
    chat = document["components"]["schemas"]["ChatRequest"]
    chat["properties"] |= {"model": {"const": NAME}, "max_tokens": {"type": "integer", "minimum": 1, "maximum": 3}}
    chat["required"].append("max_tokens")
    (tmp_path / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", str(tmp_path / "openapi.json"), "--url", gateway.url),
            *("--checks", "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"),
            *(
                "--max-examples",
                "20",
                "--seed",
                "1",
                "--phases",
                "coverage,fuzzing",
                "--exclude-path",
                "/ready",
                "--request-timeout",
                "120",
            ),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
