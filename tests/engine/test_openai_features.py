"""What servers add to the chat API: Azure's header and version, answers by a JSON schema, embeddings, a look whether they are there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bedside.engine.contract import ChatContract
from bedside.engine.openai import OpenAIEngine, RefusedRequestError
from bedside.errors import EngineError
from fixtures_model import chatml_contract  # noqa: F401  fixture

GOOD = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}


class _Server(BaseHTTPRequestHandler):
    """Keeps what it was asked, and answers with `server.answer`."""

    def do_GET(self) -> None:
        self._send()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        self._send()

    def _send(self) -> None:
        status, content = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    made.asked, made.answer = [], (200, GOOD)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def engine(server: Any, chatml_contract: ChatContract) -> Iterator[OpenAIEngine]:  # noqa: F811
    made = OpenAIEngine(
        f"http://127.0.0.1:{server.server_port}/openai/v1",
        chatml_contract,
        model="m",
        api_key="secret",
        timeout=2,
        api_key_header="api-key",
        api_version="preview",
    )
    yield made
    made.close()


def test_azure_gets_its_header_its_path_and_its_version(engine: OpenAIEngine, server: Any) -> None:
    engine.reply([{"role": "user", "content": "x"}], max_tokens=3)
    ((path, headers, _),) = server.asked
    assert path == "/openai/v1/chat/completions?api-version=preview"
    assert headers["api-key"] == "secret" and "Authorization" not in headers


def test_a_schema_goes_out_in_openais_form(engine: OpenAIEngine, server: Any) -> None:
    schema = {"type": "object", "properties": {}}
    assert engine.reply_json([{"role": "user", "content": "x"}], schema=schema, max_tokens=3).text == "{}"
    form = server.asked[0][2]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["schema"] == schema and form["json_schema"]["strict"]


def test_embeddings_have_to_be_as_many_as_the_texts(engine: OpenAIEngine, server: Any) -> None:
    server.answer = 200, {"data": [{"index": 0, "embedding": [0.5, 1]}], "usage": {"prompt_tokens": 2}}
    assert engine.embed(["a"], "e").data[0].embedding == [0.5, 1.0] and server.asked[0][2] == {"model": "e", "input": ["a"]}
    with pytest.raises(EngineError, match="1 vectors for 2 texts"):
        engine.embed(["a", "b"], "e")
    server.answer = 200, GOOD
    with pytest.raises(EngineError, match="something else than embeddings"):
        engine.embed(["a"], "e")


def test_a_look_finds_a_server_that_is_there_with_or_without_a_list_of_models(engine: OpenAIEngine, server: Any) -> None:
    engine.check()
    server.answer = 404, {"error": "no such path"}
    engine.check()
    server.answer = 401, {"error": "no"}
    with pytest.raises(RefusedRequestError, match="refused the API key"):
        engine.check()
    server.answer = 503, {"error": "loading"}
    with pytest.raises(EngineError, match="503"):
        engine.check()
