"""The gateway: one engine behind an OpenAI-compatible API, plus what a caller's turn means.

A request is refused rather than answered otherwise than asked: unknown fields, settings that the engine cannot honour, and messages that do
not fit the context each give a 400 that names them. Errors are problem documents (RFC 9457) with a stable `code`.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal, Protocol, TypeVar, runtime_checkable

import anyio
import uvicorn
from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedside.engine.base import Engine, Token
from bedside.engine.openai import RefusedRequestError
from bedside.engine.understanding import as_json, classify
from bedside.errors import BedsideError, EngineError

NOTICE = "Not a medical device. Not for clinical use without validation."
MAX_BODY = 1_000_000
"""Bytes of a request body."""
MAX_WAITING = 32
"""Requests that may wait for the engine; one more is refused."""
MAX_TEXTS = 64
"""Texts of one request to understand."""
_DRAINED = 8 * MAX_BODY
_SHUTDOWN_SECONDS = 10

_T = TypeVar("_T")


@runtime_checkable
class CountsTokens(Protocol):
    """An engine that can count tokens before it is asked, as the embedded one can."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered text."""
        ...


class ProblemError(Exception):
    """A refusal that is sent to the client as `application/problem+json`.

    Args:
        status: the HTTP status.
        code: a stable word for programs.
        detail: one sentence for people; never the request's text.
        more: further members of the problem document.
        retry_after: seconds for a `Retry-After` header.
    """

    def __init__(self, status: int, code: str, detail: str, *, retry_after: int | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after
        self.document = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            **more,
        }

    def response(self) -> Response:
        """The problem document as an HTTP response."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse(self.document, self.status, headers, media_type="application/problem+json")


def _writable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Words = Annotated[str, Field(min_length=1), AfterValidator(_writable)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ChatTurn(_Strict):
    """One message: its role and its words."""

    role: Literal["system", "user", "assistant"]
    content: Words


class StreamOptions(_Strict):
    """What a stream reports besides text; `include_usage` adds a last event with token counts."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """The part of OpenAI's chat request that an engine can honour in full.

    Attributes:
        model: the release's name.
        messages: in order; the last is usually the user's.
        max_tokens, max_completion_tokens: two names of one limit; left out, what the context leaves.
        temperature: 0, the default here, is greedy and repeatable.
        stream: send the text in pieces as server-sent events.
        stream_options: only with `stream`.
        logprobs, top_logprobs: log-probabilities of the answer's tokens and of so many alternatives; not with `stream`.
        seed: for temperatures above 0; not with `stream`.
    """

    model: str
    messages: list[ChatTurn] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    seed: int | None = Field(None, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ChatRequest:
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens differ; give one of them")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.stream and self.logprobs:
            raise ValueError("logprobs are not reported in a stream; leave out stream or logprobs")
        if self.stream and self.seed is not None and self.temperature:
            raise ValueError("a stream at a temperature above 0 cannot take a seed; leave out stream or seed")
        if self.stream_options and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        return self

    @property
    def limit(self) -> int | None:
        """The answer's token limit under either name."""
        return self.max_tokens or self.max_completion_tokens


class UnderstandRequest(_Strict):
    """One caller's turn (`text`) or several (`texts`)."""

    text: Annotated[str, AfterValidator(_writable)] | None = None
    texts: list[Annotated[str, AfterValidator(_writable)]] | None = Field(None, min_length=1, max_length=MAX_TEXTS)

    @model_validator(mode="after")
    def _one_of_both(self) -> UnderstandRequest:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either text or texts")
        return self


class EngineQueue:
    """Lets so many calls into the engine at a time, in the order they came, and so many wait.

    Args:
        parallel: calls at a time.
        waiting: requests that may wait for a call.
    """

    def __init__(self, parallel: int, waiting: int = MAX_WAITING) -> None:
        self._parallel = parallel
        self._places = parallel + waiting
        self._inside = 0
        self._slots = asyncio.Semaphore(parallel)
        self._seconds = 1.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places from arrival to answer.

        Raises:
            ProblemError: 429, when as many wait as may.
        """
        if self._inside >= self._places:
            wait = max(1, math.ceil(self._seconds * self._inside / self._parallel))
            raise ProblemError(
                429, "busy", f"{self._inside} requests are being answered or wait for the model; ask again in {wait} s", retry_after=wait
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn at the engine and hold it."""
        async with self._slots:
            start = time.monotonic()
            try:
                yield
            finally:
                self._seconds = 0.8 * self._seconds + 0.2 * (time.monotonic() - start)

    async def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Run one blocking engine call in a thread, in turn."""
        async with self.slot():
            return await to_thread.run_sync(partial(function, *args, **kwargs))


class BodyLimit:
    """ASGI middleware that reads a request's body whole and refuses one over `MAX_BODY` bytes with a 413 problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _read_body(receive)
        if body is None:
            return
        if len(body) > MAX_BODY:
            problem = ProblemError(413, "body_too_large", f"the request's body is over {MAX_BODY} bytes")
            await problem.response()(scope, receive, send)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)


async def _read_body(receive: Receive) -> bytearray | None:
    """The body, cut off just over the limit; None when the client went away.

    What is over the limit is read and forgotten up to `_DRAINED` bytes: a connection closed on unread bytes would lose the refusal.
    """
    body, seen = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        seen += len(chunk)
        body += chunk[: MAX_BODY + 1 - len(body)]
        if not message.get("more_body") or seen > _DRAINED:
            return body


class _EventStream(StreamingResponse):
    """A stream of server-sent events that gives back what it holds however it ends, also when it never began."""

    def __init__(self, events: AsyncIterator[str], held: AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _let_go(self._held)


async def _let_go(held: AsyncExitStack) -> None:
    """Give back what is held, also while this task is being cancelled."""
    with anyio.CancelScope(shield=True):
        await held.aclose()


class _Chat:
    """Answers chat requests with one engine."""

    def __init__(self, engine: Engine, name: str, queue: EngineQueue) -> None:
        self._engine = engine
        self._name = name
        self._queue = queue

    async def answer(self, request: ChatRequest) -> Response:
        self._check(request)
        return await (self._streamed(request) if request.stream else self._whole(request))

    def _check(self, request: ChatRequest) -> None:
        if request.model != self._name:
            raise ProblemError(404, "model_not_found", f"this server runs {self._name!r}; `GET /v1/models` lists it")
        for number, turn in enumerate(request.messages):
            for token in {self._engine.contract.bos_token, self._engine.contract.eos_token} - {""}:
                # A message with the template's own tokens could close its turn and speak in another role.
                if token in turn.content:
                    raise ProblemError(400, "control_token", f"message {number} holds {token!r}, which the chat template keeps for itself")

    async def _whole(self, request: ChatRequest) -> Response:
        async with self._queue.place():
            _, limit = await self._budget(request)
            reply = await self._queue.call(
                self._engine.reply,
                _messages(request),
                max_tokens=limit,
                temperature=request.temperature or 0.0,
                # Without alternatives an engine reports no tokens at all.
                top_logprobs=max(1, request.top_logprobs or 0) if request.logprobs else 0,
                seed=request.seed or 0,
            )
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply.text},
            "finish_reason": reply.finish_reason,
            "logprobs": None,
        }
        if request.logprobs:
            choice["logprobs"] = {"content": [_listed(token, request.top_logprobs or 0) for token in reply.tokens]}
        return JSONResponse(
            {**self._head("chat.completion"), "choices": [choice], "usage": _counts(reply.prompt_tokens, reply.completion_tokens)}
        )

    async def _streamed(self, request: ChatRequest) -> Response:
        """Hold the engine from the first piece on, which is awaited here so that a refusal still has a status of its own."""
        usage = bool(request.stream_options and request.stream_options.include_usage)
        if usage and not isinstance(self._engine, CountsTokens):
            raise ProblemError(400, "unsupported", "this engine counts no tokens in a stream; leave out stream_options")
        held = AsyncExitStack()
        try:
            await held.enter_async_context(self._queue.place())
            prompt, limit = await self._budget(request)
            await held.enter_async_context(self._queue.slot())
            pieces = _Pieces(self._engine.stream(_messages(request), max_tokens=limit, temperature=request.temperature or 0.0))
            held.push_async_callback(to_thread.run_sync, pieces.close)
            first = await to_thread.run_sync(pieces.next)
        except BaseException:
            await _let_go(held)
            raise
        return _EventStream(self._events(first, pieces, prompt if usage else None, limit), held)

    async def _events(self, piece: str | None, pieces: _Pieces, prompt: int | None, limit: int) -> AsyncIterator[str]:
        head = self._head("chat.completion.chunk")

        def event(delta: Mapping[str, str], finish: str | None = None) -> str:
            return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

        yield event({"role": "assistant", "content": ""})
        try:
            while piece is not None:
                yield event({"content": piece})
                piece = await to_thread.run_sync(pieces.next)
            completion = await self._streamed_tokens(pieces)
        except EngineError as error:
            yield _event({"error": _engine_problem(error).document})
            return
        yield event({}, pieces.finish_reason or ("length" if completion >= limit else "stop"))
        if prompt is not None:
            yield _event({**head, "choices": [], "usage": _counts(prompt, completion)})
        yield "data: [DONE]\n\n"

    async def _streamed_tokens(self, pieces: _Pieces) -> int:
        if isinstance(self._engine, CountsTokens) and pieces.text:
            return max(pieces.count, len(await to_thread.run_sync(self._engine.tokenize, pieces.text)))
        return pieces.count

    async def _budget(self, request: ChatRequest) -> tuple[int, int]:
        """Tokens of the messages (0 where the engine cannot count) and of the longest answer."""
        contract = self._engine.contract
        if not isinstance(self._engine, CountsTokens):
            return 0, request.limit or contract.max_length // 2
        tokens = len(await to_thread.run_sync(self._engine.tokenize, contract.render(_messages(request))))
        wanted = request.limit or 1
        if tokens + wanted > contract.max_length:
            asked = f" and max_tokens asks for {request.limit} more" if request.limit else ""
            raise ProblemError(
                400,
                "context_length_exceeded",
                f"the messages take {tokens} tokens{asked}; the model's context holds {contract.max_length}",
                tokens=tokens,
                limit=contract.max_length,
            )
        return tokens, request.limit or contract.max_length - tokens

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self._name}


class _Pieces:
    """An engine's stream, pulled one piece at a time from worker threads."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._said: list[str] = []
        self.finish_reason: str | None = None

    def next(self) -> str | None:
        """The next piece; None at the end, when an engine that knows has said why it ended."""
        try:
            piece = next(self._pieces)
        except StopIteration as end:
            self.finish_reason = end.value
            return None
        self._said.append(piece)
        return piece

    def close(self) -> None:
        """Stop the engine's work on this answer."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    @property
    def text(self) -> str:
        return "".join(self._said)

    @property
    def count(self) -> int:
        return len(self._said)


def make_app(engine: Engine, *, name: str, parallel: int = 1) -> FastAPI:
    """The gateway over one engine, which stays the caller's to close.

    Args:
        engine: answers; its contract's hash is shown by `/health`.
        name: the release's name, which requests give as `model`.
        parallel: engine calls at a time; more only for an engine that was made for it.
    """
    started = time.monotonic()
    created = int(time.time())
    queue = EngineQueue(parallel)
    chat = _Chat(engine, name, queue)
    # FastAPI's documentation pages load their scripts from elsewhere; `/openapi.json` needs nothing.
    app = FastAPI(title="bedside", description=f"Asks the release {name!r}. {NOTICE}", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit)
    _add_problem_handlers(app)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the server runs, which release and contract, and for how many seconds."""
        return {"status": "ok", "release": name, "contract": engine.contract.hash, "uptime_seconds": round(time.monotonic() - started, 3)}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The one model of this server."""
        return {"object": "list", "data": [{"id": name, "object": "model", "created": created, "owned_by": "bedside"}]}

    @app.post("/v1/chat/completions", response_model=None)
    async def chat_completions(request: ChatRequest) -> Response:
        """An answer to a conversation, whole or as server-sent events."""
        return await chat.answer(request)

    @app.post("/v1/understand")
    async def understand(request: UnderstandRequest) -> Any:
        """What callers' turns mean; `truncated` counts words of a turn that were too many to be read."""
        if engine.contract.codebook is None:
            raise ProblemError(404, "no_understanding", f"the release {name!r} was not trained to understand callers")
        texts = request.texts if request.texts is not None else [request.text or ""]
        async with queue.place():
            understood = [await _understood(queue, engine, str(number), text) for number, text in enumerate(texts, 1)]
        return {"understandings": understood} if request.texts is not None else understood[0]

    return app


def serve(engine: Engine, *, name: str, host: str = "127.0.0.1", port: int = 8080, parallel: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then let running answers end for up to 10 s, and close the engine.

    Args:
        engine: answers; closed at the end.
        name: the release's name.
        host: the address to listen on; only this machine reaches the default.
        port: 0 takes a free one.
        parallel: as for `make_app`.

    Raises:
        BedsideError: the address cannot be listened on.
    """
    try:
        with _listening(host, port) as listener, _signals_handled():
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{listener.getsockname()[1]}"
            print(f"bedside serves {name} at {address}\nTry: {_example(engine, name, address)}", flush=True)
            config = uvicorn.Config(
                make_app(engine, name=name, parallel=parallel), log_level="warning", timeout_graceful_shutdown=_SHUTDOWN_SECONDS
            )
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        engine.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise BedsideError(
            f"cannot listen on {host}:{port} ({error})", "Stop what listens there, or choose another --port or --host"
        ) from error


@contextmanager
def _signals_handled() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more; without handlers of ours that would kill the process, its engine not closed."""
    stops = (signal.SIGINT, signal.SIGTERM)
    before = {stop: signal.signal(stop, lambda *_: None) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _example(engine: Engine, name: str, address: str) -> str:
    path, body = "/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40}
    if engine.contract.codebook is not None:
        path, body = "/v1/understand", {"text": "can I get in with Dr Nguyen on Thursday"}
    return f"curl -s {address}{path} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


async def _understood(queue: EngineQueue, engine: Engine, id: str, text: str) -> dict[str, Any]:
    understanding = await queue.call(classify, engine, text)
    return {"id": id} | as_json(understanding) | ({"truncated": understanding.truncated} if understanding.truncated else {})


def _add_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(ProblemError)
    async def refused(_: Request, problem: ProblemError) -> Response:
        return problem.response()

    @app.exception_handler(EngineError)
    async def engine_failed(_: Request, error: EngineError) -> Response:
        return _engine_problem(error).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return _invalid(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        response = ProblemError(error.status_code, "http_error", str(error.detail)).response()
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def internal(_: Request, __: Exception) -> Response:
        return ProblemError(500, "internal", "an internal fault; the server's log tells more").response()


def _engine_problem(error: EngineError) -> ProblemError:
    if isinstance(error, RefusedRequestError) and error.status in (400, 413, 422):
        return ProblemError(400, "engine_refused", str(error))
    if isinstance(error, RefusedRequestError) and error.status == 429:
        return ProblemError(503, "engine_busy", str(error), retry_after=math.ceil(error.retry_after or 1))
    return ProblemError(503, "engine_failed", str(error))


def _invalid(errors: Sequence[Any]) -> ProblemError:
    """Every fault with its place; what was sent is not repeated, because it may be a patient's words."""
    faults = [{"pointer": _pointer(error["loc"]), "detail": _fault(error)} for error in errors[:20]]
    return ProblemError(
        400, "invalid_request", "; ".join(f"{fault['pointer'] or 'the body'}: {fault['detail']}" for fault in faults), errors=faults
    )


def _fault(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "this field is unknown or not supported here"
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(place: Sequence[str | int]) -> str:
    """The JSON pointer of a fault; a name that the client chose is shortened and made printable."""
    parts = [str(part)[:60].encode("ascii", "backslashreplace").decode() for part in place if part != "body"]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _messages(request: ChatRequest) -> list[dict[str, str]]:
    return [turn.model_dump() for turn in request.messages]


def _listed(token: Token, alternatives: int) -> dict[str, Any]:
    likeliest = sorted(token.alternatives.items(), key=lambda item: -item[1])[:alternatives]
    return {**_weighed(token.text, token.logprob), "top_logprobs": [_weighed(text, logprob) for text, logprob in likeliest]}


def _weighed(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _counts(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
