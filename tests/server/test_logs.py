"""The log: lines of JSON with the request's id, and nothing of what was said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.server.logs import Observed, Seen, configure_logs, request_id

SECRET = "crushing-chest-pain-of-Mary-Example"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the log got; the loggers are as they were afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    configure_logs(stream)
    yield stream
    root.handlers[:], root.level = before


@pytest.fixture
def seen() -> list[Seen]:
    return []


@pytest.fixture
def client(log: io.StringIO, seen: list[Seen]) -> TestClient:
    app, router = FastAPI(), APIRouter(prefix="/v1")

    @router.post("/patients/{name}")
    async def patient(name: str, request: Request) -> dict[str, str]:
        await request.body()
        logging.getLogger("bedside.test").info("looked")
        return {"id": request_id()}

    @router.get("/broken/{name}")
    async def broken(name: str) -> None:
        logging.getLogger("some.library").warning("cannot parse %s", name)
        raise ValueError(f"no such patient: {name}")

    @router.get("/pieces")
    async def pieces() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]))

    app.include_router(router)
    app.add_middleware(Observed, observers=(seen.append,))
    return TestClient(app, raise_server_exceptions=False)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_request_is_one_line_with_its_template_and_the_id_that_the_client_got(client: TestClient, log: io.StringIO) -> None:
    answer = client.post("/v1/patients/jo", content=b"{}")
    (line,) = [one for one in lines(log) if one["message"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/patients/{name}", 200)
    assert line["request"] == answer.headers["X-Request-ID"] == answer.json()["id"]
    assert line["ms"] >= 0 and line["level"] == "info"


def test_what_is_logged_meanwhile_carries_the_same_id(client: TestClient, log: io.StringIO) -> None:
    id = client.post("/v1/patients/jo").headers["X-Request-ID"]
    assert [one["request"] for one in lines(log) if one["message"] == "looked"] == [id]


def test_a_client_cannot_choose_the_id(client: TestClient) -> None:
    assert client.post("/v1/patients/jo", headers={"X-Request-ID": SECRET}).headers["X-Request-ID"] != SECRET


def test_nothing_that_was_sent_is_logged(client: TestClient, log: io.StringIO) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"bedside={SECRET}", "User-Agent": SECRET, "traceparent": SECRET}
    client.post(f"/v1/patients/{SECRET}?q={SECRET}", content=SECRET, headers=headers)
    client.get(f"/v1/broken/{SECRET}")
    client.get(f"/nowhere/{SECRET}")
    client.request(SECRET[:8], f"/v1/patients/{SECRET}")
    assert SECRET not in log.getvalue() and SECRET[:8] not in log.getvalue()
    assert [one["route"] for one in lines(log) if one["message"] == "request"][2] == "unmatched"


def test_an_exception_tells_its_kind_and_places_and_a_library_only_where(client: TestClient, log: io.StringIO) -> None:
    assert client.get("/v1/broken/jo").status_code == 500
    (fault,) = [one for one in lines(log) if one.get("error") and one["logger"] == "bedside.server.logs"]
    assert fault["error"] == "ValueError" and any("broken" in place for place in fault["places"])
    (library,) = [one for one in lines(log) if one["logger"] == "some.library"]
    assert "not written out" in library["message"] and library["level"] == "warning"
    assert [one["status"] for one in lines(log) if one["message"] == "request"] == [500]


def test_observers_see_each_request_once_when_it_is_over(client: TestClient, seen: list[Seen]) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    client.get("/v1/pieces", headers={"traceparent": trace})
    client.get("/v1/broken/jo")
    assert [(one.route, one.status) for one in seen] == [("/v1/pieces", 200), ("/v1/broken/{name}", 500)]
    assert seen[0].trace_parent == trace and seen[1].trace_parent == ""


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=50))
def test_every_line_is_one_json_object_whatever_is_logged(log: io.StringIO, text: str) -> None:
    logging.getLogger("bedside.test").warning("%s", text)
    last = log.getvalue().split("\n")[-2]
    assert json.loads(last)["message"] == text
