"""Clients that send too much, too slowly, or nothing that HTTP knows."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from bedside.engine.contract import ChatContract
from fixtures_gateway import Told, open_told, problem, served

LIMITS = {"max_body_bytes": 2000, "body_seconds": 0.4, "header_seconds": 0.4, "idle_seconds": 1}
HEAD = "POST /v1/triage HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def url(chatml_contract: ChatContract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(open_told(tmp_path_factory.mktemp("limits"), Told(chatml_contract), settings={"limits": LIMITS})) as address:
        yield address


def raw(url: str, *parts: str, every: float = 0.0) -> tuple[bytes, float]:
    """What the gateway answers to parts sent one by one until it closes the connection, and after how many seconds."""
    place = urlsplit(url)
    start = time.monotonic()
    answer = b""
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        try:
            for part in parts:
                connection.sendall(part.encode())
                time.sleep(every)
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            pass
    return answer, time.monotonic() - start


def test_a_body_over_the_limit_is_refused_however_it_is_sent(url: str) -> None:
    problem(httpx.post(f"{url}/v1/triage", json={"text": "x" * 2000}), 413, "body_too_large")
    pieces = (b"x" * 1000 for _ in range(30))
    problem(httpx.post(f"{url}/v1/triage", content=pieces, headers={"Content-Type": "application/json"}), 413, "body_too_large")
    assert httpx.post(f"{url}/v1/triage", json={"text": "x" * 1900}).status_code == 200


def test_a_body_that_does_not_come_is_refused(url: str) -> None:
    answer, seconds = raw(url, HEAD + "Content-Length: 500\r\n\r\n", '{"text":')
    assert answer.startswith(b"HTTP/1.1 408") and b"body_too_slow" in answer and seconds < 2


def test_a_body_that_drips_is_refused(url: str) -> None:
    answer, seconds = raw(url, HEAD + "Content-Length: 500\r\n\r\n", *["x"] * 100, every=0.05)
    # What is sent into a closed connection resets it, which may take the answer with it.
    assert answer.startswith(b"HTTP/1.1 408") or answer == b""
    assert seconds < 3


@pytest.mark.parametrize("parts", [(), ("GET /hea",), ("GET /health HTTP/1.1\r\n", *[f"X-{n}: y\r\n" for n in range(12)])])
def test_headers_that_do_not_come_end_the_connection(url: str, parts: tuple[str, ...]) -> None:
    answer, seconds = raw(url, *parts, every=0.05)
    assert answer == b"" and seconds < 2


def test_a_connection_that_is_kept_waits_for_the_next_request_and_no_longer(url: str) -> None:
    body = json.dumps({"text": "hello"})
    request = f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}"
    answer, seconds = raw(url, request, request, every=0.3)
    assert answer.count(b"HTTP/1.1 200") == 2 and 1 <= seconds < 3


def test_huge_headers_are_refused(url: str) -> None:
    answer, _ = raw(url, f"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {'y' * 40_000}", f"{'y' * 1000}\r\n\r\n", every=0.1)
    assert b"HTTP/1.1 400" in answer or answer == b""


def test_another_host_is_refused(url: str) -> None:
    assert httpx.get(f"{url}/health", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/../../etc", "/v1/models/..%2f..%2fetc", "/%00"])
def test_paths_lead_nowhere(url: str, path: str) -> None:
    answer, _ = raw(url, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")) and b"problem+json" in answer


def test_the_server_does_not_name_its_software(url: str) -> None:
    headers = httpx.get(f"{url}/health").headers
    assert "server" not in headers and headers["x-content-type-options"] == "nosniff" and headers["x-request-id"]
