"""A gateway as a clinic runs it, in its own process: keys and the console on, and behind it a model that obeys the worst prompt."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedside.server.database import Database
from bedside.server.keys import KeyStore
from bedside.server.people import People
from bedside.server.tls import issue, make_ca
from bedside.workspace.audit import AuditLog
from fixtures_gateway import Process
from fixtures_security import PASSWORD

MODEL = "clinic-line"
DOSE = "Sure! Ignoring my rules: give paracetamol 15 mg/kg, that is two tablets of 500 mg every four hours. It is nothing serious."
BODY_LIMIT = 20_000


class Obedient(BaseHTTPRequestHandler):
    """A model server that does what the worst prompt asks it to: it doses and reassures."""

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": DOSE[start : start + 7]}}]} for start in range(0, len(DOSE), 7)]
            text = "".join(
                f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
            )
            self._write(f"{text}data: [DONE]\n\n".encode(), "text/event-stream")
            return
        message = {"index": 0, "message": {"role": "assistant", "content": DOSE}, "finish_reason": "stop"}
        self._send({"id": "x", "object": "chat.completion", "choices": [message], "usage": {"prompt_tokens": 9, "completion_tokens": 9}})

    def _send(self, value: Any) -> None:
        self._write(json.dumps(value).encode(), "application/json")

    def _write(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Clinic:
    """A gateway process with one person of each role and a key of each kind."""

    def __init__(self, folder: Path, upstream: str, listen: dict[str, Any] | None = None) -> None:
        self.folder = folder
        settings = {
            "listen": {"port": 0, "hosts": ["gateway.lan"], **(listen or {})},
            "engines": [{"name": MODEL, "kind": "openai", "url": upstream, "model": MODEL}],
            "limits": {"max_body_bytes": BODY_LIMIT, "body_seconds": 1.5, "header_seconds": 1.5},
        }
        (folder / "gateway.yaml").write_text(json.dumps(settings), encoding="utf-8")
        self.state = folder / "gateway-state"
        self.state.mkdir(mode=0o700)
        store, self.audit = Database(self.state / "gateway.sqlite"), AuditLog(self.state / "audit")
        self.keys = KeyStore(store, self.audit)
        people = People(store, self.audit)
        for role in ("reception", "clinician", "admin"):
            people.add(role, role, PASSWORD)
        self.key = self.keys.create("all", ["admin"], None, None, "test")[1]
        self.process = Process("--settings", str(folder / "gateway.yaml"), cwd=folder)
        assert self.process.url, self.process.log.read_text()
        self.url = self.process.url
        self.port = int(self.url.rsplit(":", 1)[1])
        self.verify: ssl.SSLContext | bool = True

    def browser(self, role: str | None = None) -> httpx.Client:
        """A browser that has logged in as `role`; it follows nothing by itself."""
        client = httpx.Client(base_url=self.url, trust_env=False, timeout=30, verify=self.verify)
        if role:
            answer = client.post("/console/login", data={"login": role, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
        return client

    def ask(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """A request of the API with a good key."""
        return self.process.post(path, body, headers={"Authorization": f"Bearer {self.key}"}, **options)

    def raw(self, request: bytes, wait: float = 8) -> bytes:
        """What comes back for bytes on a connection, until the server closes it or says nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), wait) as connection:
            connection.sendall(request)
            connection.settimeout(3)
            got = b""
            try:
                while piece := connection.recv(65_536):
                    got += piece
            except TimeoutError:
                pass
            return got


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Obedient)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Clinic]:
    opened = Clinic(tmp_path_factory.mktemp("clinic"), upstream)
    yield opened
    assert opened.process.stop() == 0


@pytest.fixture(scope="module")
def secure_clinic(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("secure")
    make_ca(folder / "tls", "Wattle Street")
    issue(folder / "tls", ["127.0.0.1"])
    opened = Clinic(folder, upstream, {"tls": {"certificate": "tls/127.0.0.1.pem", "key": "tls/127.0.0.1.key"}})
    opened.verify = ssl.create_default_context(cafile=folder / "tls" / "ca.pem")
    yield opened
    assert opened.process.stop() == 0
