"""The OpenAI engine against real servers: llama.cpp's own, and a small one that answers as badly as servers do."""

from __future__ import annotations

import json
import logging
import math
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bedside.engine.contract import ChatContract
from bedside.engine.llamacpp import LlamaCppEngine
from bedside.engine.openai import OpenAIEngine, RefusedRequestError
from bedside.errors import EngineError
from fixtures_model import base_gguf, chatml_contract, embedded  # noqa: F401  fixtures

QUESTION = [{"role": "user", "content": "Is water wet? Answer yes or no. ☂ Ünïcode"}]
GOOD: dict[str, Any] = {
    "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1},
}


class _Canned(BaseHTTPRequestHandler):
    """Answers every request with what the test has put into `server.canned`, and keeps the requests' bodies."""

    def do_GET(self) -> None:
        self._send(200, {}, json.dumps({"data": [{"id": "m", "owned_by": self.server.owner}]}).encode())  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((body, self.headers.get("Authorization")))  # type: ignore[attr-defined]
        status, headers, content = self.server.canned  # type: ignore[attr-defined]
        if content is None:
            time.sleep(1.5)
            return
        self._send(status, headers, content if isinstance(content, bytes) else json.dumps(content).encode())

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def canned() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Canned)
    server.asked, server.owner, server.canned = [], "vllm", (200, {}, GOOD)  # type: ignore[attr-defined]
    server.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def engine(canned: Any, chatml_contract: ChatContract) -> Iterator[OpenAIEngine]:  # noqa: F811
    made = OpenAIEngine(canned.url + "/v1/", chatml_contract, model="m", api_key="secret", timeout=0.5)
    yield made
    made.close()


@pytest.fixture(scope="module")
def llama(embedded: LlamaCppEngine) -> Iterator[OpenAIEngine]:  # noqa: F811
    made = OpenAIEngine(embedded._server.listening_address, embedded.contract, model="any")
    yield made
    made.close()


def test_llama_cpp_reply_has_tokens_and_counts(llama: OpenAIEngine) -> None:
    reply = llama.reply(QUESTION, max_tokens=5, top_logprobs=3)
    assert reply.finish_reason == "length" and reply.completion_tokens == 5 == len(reply.tokens)
    assert "".join(token.text for token in reply.tokens) == reply.text
    assert all(token.id >= 0 and token.logprob <= 0 and len(token.alternatives) == 3 for token in reply.tokens)
    assert all(math.isclose(token.alternatives[token.text], token.logprob, abs_tol=1e-4) for token in reply.tokens)
    assert reply.seconds > 0


def test_llama_cpp_is_recognised_and_holds_to_a_grammar(llama: OpenAIEngine) -> None:
    reply = llama.reply(QUESTION, max_tokens=5, grammar='root ::= "maybe"')
    assert reply.text == "maybe" and reply.finish_reason == "stop" and reply.tokens == ()


def test_llama_cpp_streams_the_same_greedy_text(llama: OpenAIEngine) -> None:
    whole = llama.reply(QUESTION, max_tokens=8)
    pieces = list(llama.stream(QUESTION, max_tokens=8))
    assert len(pieces) > 1 and "".join(pieces) == whole.text


def test_a_stream_left_early_leaves_the_server_answering(llama: OpenAIEngine) -> None:
    stream = llama.stream(QUESTION, max_tokens=500)
    next(stream)
    stream.close()
    assert llama.reply(QUESTION, max_tokens=1).completion_tokens == 1


def test_llama_cpp_names_a_prompt_that_does_not_fit(llama: OpenAIEngine) -> None:
    with pytest.raises(RefusedRequestError, match=r"exceeds the available context size \(1024") as caught:
        llama.reply([{"role": "user", "content": "long " * 1500}], max_tokens=1)
    assert caught.value.status == 400


def test_request_is_openai_s_and_carries_the_key(canned: Any, engine: OpenAIEngine) -> None:
    engine.reply(QUESTION, max_tokens=7, temperature=0.5, seed=3)
    assert canned.asked == [({"model": "m", "messages": QUESTION, "max_tokens": 7, "temperature": 0.5, "seed": 3}, "Bearer secret")]


def test_grammar_is_not_sent_to_others_and_that_is_said_once(canned: Any, engine: OpenAIEngine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        engine.reply(QUESTION, max_tokens=1, grammar='root ::= "a"')
        engine.reply(QUESTION, max_tokens=1, grammar='root ::= "a"')
    assert [body.get("grammar") for body, _ in canned.asked] == [None, None]
    assert len([record for record in caplog.records if "not held to a grammar" in record.getMessage()]) == 1


def test_nobody_there(chatml_contract: ChatContract) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(EngineError, match=rf"nothing answers at http://127.0.0.1:{port} .*curl http://127.0.0.1:{port}/v1/models"):
        OpenAIEngine(f"http://127.0.0.1:{port}", chatml_contract, model="m").reply(QUESTION, max_tokens=1)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://[::", ""])
def test_no_address(url: str, chatml_contract: ChatContract) -> None:  # noqa: F811
    with pytest.raises(EngineError, match="no address of a server"):
        OpenAIEngine(url, chatml_contract, model="m")


def test_a_key_with_a_line_break_is_refused(chatml_contract: ChatContract) -> None:  # noqa: F811
    with pytest.raises(EngineError, match="API key"):
        OpenAIEngine("http://x", chatml_contract, model="m", api_key="a\r\nX-Other: b")


@pytest.mark.parametrize(
    ("status", "headers", "content", "said"),
    [
        (401, {}, {"error": {"message": "bad key"}}, "refused the API key .401: bad key"),
        (403, {}, b"no", "refused the API key"),
        (404, {}, {"error": {"message": "no such model"}}, "has no model 'm'.*no such model.*v1/models"),
        (429, {"Retry-After": "7"}, {"detail": "slow down"}, "slow down.*Wait 7 s"),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", "Wait a while"),
        (400, {}, {"error": "response_format is unknown"}, "refused the request .400: response_format is unknown"),
        (500, {}, b"<html>" + b"x" * 5000, "answered 500"),
        (302, {"Location": "http://elsewhere"}, b"", "answered 302"),
        (200, {}, b"<html>hello", "no JSON"),
        (200, {}, b"[" * 100_000, "no JSON"),
        (200, {}, b"\xff\xfe", "no JSON"),
        (200, {}, [1], "no object"),
        (200, {}, {"error": {"message": "out of memory"}}, "could not answer .out of memory"),
        (200, {}, {"choices": []}, "something else than a chat completion .choices"),
        (200, {}, {"choices": [{"message": {"content": 5}}], "usage": GOOD["usage"]}, "something else than a chat completion"),
        (200, {}, {**GOOD, "usage": {"prompt_tokens": 1024, "completion_tokens": 1}}, "1024 [+] 1 tokens, the chat contract allows 1024"),
        (
            200,
            {},
            {**GOOD, "choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]},
            "for the reason 'content_filter'",
        ),
        (200, {}, None, "sent nothing for 0.5 s"),
    ],
)
def test_bad_answers_are_named(canned: Any, engine: OpenAIEngine, status: int, headers: dict[str, str], content: Any, said: str) -> None:
    canned.canned = (status, headers, content)
    with pytest.raises(EngineError, match=said) as caught:
        engine.reply(QUESTION, max_tokens=1)
    assert "secret" not in str(caught.value) and len(str(caught.value)) < 800


def test_retry_after_is_kept(canned: Any, engine: OpenAIEngine) -> None:
    canned.canned = (429, {"Retry-After": "7"}, b"")
    with pytest.raises(RefusedRequestError) as caught:
        engine.reply(QUESTION, max_tokens=1)
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)


def test_missing_logprobs_are_an_error(engine: OpenAIEngine) -> None:
    with pytest.raises(EngineError, match="gave no log-probabilities for 'm'"):
        engine.reply(QUESTION, max_tokens=1, top_logprobs=5)


def _sse(*events: Any, done: bool = True) -> bytes:
    lines = [": comment", "event: message", *(f"data: {json.dumps(event)}\n" for event in events)]
    return ("\n".join(lines) + ("\ndata: [DONE]\n\n" if done else "\n")).encode()


def _delta(text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def test_stream_yields_text_and_returns_the_reason(canned: Any, engine: OpenAIEngine) -> None:
    canned.canned = (200, {}, _sse(_delta(None), _delta("Grüß"), _delta(" dich"), _delta(None, "length"), {"choices": [], "usage": {}}))
    stream, pieces = engine.stream(QUESTION, max_tokens=2), []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            assert (pieces, end.value) == (["Grüß", " dich"], "length")
            return


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_sse(_delta("a"), done=False), "before .DONE."),
        (_sse(_delta("a"), {"error": {"message": "gpu lost"}}), "broke off its answer .gpu lost"),
        (_sse(_delta("a")), "for the reason None"),
        (b"data: {broken\n\n", "no JSON"),
        (_sse({"choices": [{"delta": {"content": []}}]}), "something else than a chat completion"),
        (b"<html>", "before .DONE."),
    ],
)
def test_bad_streams_are_named(canned: Any, engine: OpenAIEngine, content: bytes, said: str) -> None:
    canned.canned = (200, {}, content)
    with pytest.raises(EngineError, match=said):
        list(engine.stream(QUESTION, max_tokens=2))


def test_a_refused_stream_is_named(canned: Any, engine: OpenAIEngine) -> None:
    canned.canned = (404, {}, {"error": {"message": "no such model"}})
    with pytest.raises(RefusedRequestError, match="no such model"):
        list(engine.stream(QUESTION, max_tokens=2))
