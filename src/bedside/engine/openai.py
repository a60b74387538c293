"""The other engine: any server that speaks the OpenAI chat API (vLLM, llama.cpp, Ollama, trtllm-serve, Azure AI Foundry, bedside)."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, Field, ValidationError

from bedside.engine.base import Reply, Token
from bedside.engine.contract import ChatContract, ChatMessage
from bedside.errors import EngineError

_Model = TypeVar("_Model", bound=BaseModel)
_log = logging.getLogger(__name__)

FinishReason = Literal["stop", "length"]
KeyHeader = Literal["authorization", "api-key"]
_FINISH: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}
_CONNECT_SECONDS = 5.0
_SHOWN = 300


class RefusedRequestError(EngineError):
    """A server answered with an error status.

    Attributes:
        status: the HTTP status.
        retry_after: seconds that the server asks to wait, when it says so in seconds.
    """

    def __init__(self, problem: str, next_step: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(problem, next_step)
        self.status = status
        self.retry_after = retry_after


class _Alternative(BaseModel):
    token: str
    logprob: float


class _ListedToken(_Alternative):
    id: int = -1
    top_logprobs: list[_Alternative] = []


class _Logprobs(BaseModel):
    content: list[_ListedToken] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class Completion(BaseModel):
    """What of a chat completion is read; `choices` holds at least one."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage


class _Vector(BaseModel):
    index: int
    embedding: list[float]


class _InputUsage(BaseModel):
    prompt_tokens: int = 0


class Embeddings(BaseModel):
    """What of an answer to an embeddings request is read."""

    data: list[_Vector]
    usage: _InputUsage = _InputUsage()


class _ChunkChoice(BaseModel):
    delta: _Message
    finish_reason: str | None = None


class Chunk(BaseModel):
    """What of one event of a streamed chat completion is read."""

    choices: list[_ChunkChoice] = []


class ChatServer:
    """One model of one OpenAI-compatible server, over HTTP; every fault is an `EngineError`.

    The address given is the one contacted: proxies of the environment are not used. TLS trusts the machine's certificate store, so
    `SSL_CERT_FILE` adds an organisation's own authority.

    Args:
        url: the server's root, with or without `/v1`.
        model: the model's name there.
        api_key: sent as a bearer token.
        timeout: seconds without a byte after which a call is given up.
        api_key_header: `api-key` sends the key as Azure asks.
        api_version: Azure's `api-version`, sent with each request.

    Raises:
        EngineError: `url` is no HTTP address, or `api_key` cannot stand in a header.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        api_key_header: KeyHeader = "authorization",
        api_version: str | None = None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self.timeout = timeout
        try:
            address = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise EngineError(f"{url!r} is no address of a server ({error})", "Give one such as http://127.0.0.1:8080") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise EngineError(f"{url!r} is no address of a server", "Give one such as http://127.0.0.1:8080")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise EngineError("the API key holds characters that no HTTP header may hold", "Set the key again, without line breaks")
        self._client = httpx.Client(
            base_url=address,
            headers={"Content-Type": "application/json"} | (_key_header(api_key_header, api_key) if api_key else {}),
            params={"api-version": api_version} if api_version else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            verify=ssl.create_default_context(),
            trust_env=False,
        )

    def complete(self, body: dict[str, Any]) -> Completion:
        """The answer to one chat request; `body` goes out with the model's name added.

        Raises:
            RefusedRequestError: the server answered with an error status.
            EngineError: it cannot be reached, did not answer in time, or answered with something else than a chat completion.
        """
        return self._parsed(Completion, self._asked("/v1/chat/completions", {"model": self.model, **body}), "a chat completion")

    def embed(self, body: dict[str, Any]) -> Embeddings:
        """The vectors for one embeddings request; `body` names its own model.

        Raises:
            RefusedRequestError, EngineError: as `complete`.
        """
        return self._parsed(Embeddings, self._asked("/v1/embeddings", body), "embeddings")

    def check(self) -> None:
        """Ask for the list of models, which costs a server nothing; one that has no such list answers too.

        Raises:
            RefusedRequestError, EngineError: as `complete`.
        """
        with self._transport():
            response = self._client.get("/v1/models")
        if response.status_code != 404:
            self._check_status(response)

    def chunks(self, body: dict[str, Any]) -> Iterator[Chunk]:
        """The events of one streamed chat request; the connection is closed when the iterator is.

        Raises:
            RefusedRequestError, EngineError: as `complete`; also when the stream ends before the server said that it is done.
        """
        with (
            self._transport(),
            self._client.stream(
                "POST", "/v1/chat/completions", content=json.dumps({"model": self.model, "stream": True, **body})
            ) as response,
        ):
            if not response.is_success:
                response.read()
            self._check_status(response)
            for line in response.iter_lines():
                field, _, data = line.partition(":")
                if field != "data":
                    continue
                if data.strip() == "[DONE]":
                    return
                chunk = self._decoded(data.encode())
                if "error" in chunk:
                    raise EngineError(f"{self.url} broke off its answer ({_error_text(chunk)})", "Look into the server's log")
                yield self._parsed(Chunk, chunk, "a chat completion")
        raise EngineError(
            f"{self.url} broke off its answer before [DONE]", "Ask again; if it happens each time, look into the server's log"
        )

    @cached_property
    def takes_grammar(self) -> bool:
        """Whether the server is llama.cpp, which constrains an answer by the field `grammar`; asked once.

        Others either ignore the field without a word (vLLM keeps unknown fields and drops them) or refuse the request (bedside).
        """
        with self._transport():
            response = self._client.get("/v1/models")
        if not response.is_success:
            return False
        try:
            listed = response.json()["data"]
            return any(model.get("owned_by") == "llamacpp" for model in listed)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _transport(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectTimeout as error:
            raise EngineError(
                f"no connection to {self.url} within {min(self.timeout, _CONNECT_SECONDS):g} s",
                "Check the address, and that this machine may reach it",
            ) from error
        except httpx.TimeoutException as error:
            raise EngineError(f"{self.url} sent nothing for {self.timeout:g} s", "Ask for fewer tokens, or raise the timeout") from error
        except httpx.ConnectError as error:
            raise EngineError(
                f"nothing answers at {self.url} ({error})",
                f"Start the model server, check it with `curl {self.url}/v1/models`, and run this again",
            ) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise EngineError(
                f"the connection to {self.url} broke ({error or type(error).__name__})", "Look into the server's log, and ask again"
            ) from error

    def _check_status(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        status, said = response.status_code, _server_words(response)
        retry_after = _seconds(response.headers.get("Retry-After"))
        problem, next_step = f"{self.url} answered {status} ({said})", "Look into the server's log, and ask again"
        if status in (401, 403):
            problem, next_step = (
                f"{self.url} refused the API key ({status}: {said})",
                "Set the server's key in the environment variable that the recipe names",
            )
        elif status == 404:
            problem = f"{self.url} has no model {self.model!r}, or no chat API ({status}: {said})"
            next_step = f"Choose a model that `curl {self.url}/v1/models` lists, or correct the address"
        elif status == 429:
            wait = f"{retry_after:g} s" if retry_after is not None else "a while"
            problem, next_step = f"{self.url} has too many requests ({said})", f"Wait {wait} and run this again"
        elif 400 <= status < 500:
            problem, next_step = (
                f"{self.url} refused the request ({status}: {said})",
                "Change what the server names, or choose another model or server",
            )
        raise RefusedRequestError(problem, next_step, status=status, retry_after=retry_after)

    def _asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._transport():
            response = self._client.post(path, content=json.dumps(body))
        self._check_status(response)
        answer = self._decoded(response.content)
        if "error" in answer:
            raise EngineError(f"{self.url} could not answer ({_server_words(response)})", "Look into the server's log")
        return answer

    def _decoded(self, content: bytes) -> dict[str, Any]:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise EngineError(
                f"{self.url} answered with something that is no JSON ({content[:60]!r})",
                f"Check that {self.url} is a model server and not a web page or proxy",
            ) from error
        if not isinstance(value, dict):
            raise EngineError(
                f"{self.url} answered with JSON that is no object ({content[:60]!r})",
                "Check that the address is that of an OpenAI-compatible server",
            )
        return value

    def _parsed(self, kind: type[_Model], data: dict[str, Any], what: str) -> _Model:
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise EngineError(
                f"{self.url} answered with something else than {what} ({place}: {first['msg']})",
                "Check that the address is that of an OpenAI-compatible server",
            ) from error


class OpenAIEngine:
    """Asks a model behind any OpenAI-compatible server under one chat contract.

    The server renders messages with its own copy of the template and stops at its own stop ids; both have to be the contract's. A grammar
    is sent to llama.cpp alone; any other server's answer is unconstrained, which is logged once, and validated like every answer.
    The stop token is among a reply's tokens only where the server lists it.

    Args:
        url: the server's root, with or without `/v1`.
        contract: how the model was taught to be asked.
        model: the model's name on that server.
        api_key, timeout, api_key_header, api_version: as for `ChatServer`.

    Raises:
        EngineError: `url` is no HTTP address, or `api_key` cannot stand in a header. No connection is made yet.
    """

    def __init__(
        self,
        url: str,
        contract: ChatContract,
        *,
        model: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        api_key_header: KeyHeader = "authorization",
        api_version: str | None = None,
    ) -> None:
        self.contract = contract
        self._server = ChatServer(
            url, model=model, api_key=api_key, timeout=timeout, api_key_header=api_key_header, api_version=api_version
        )
        self._told_unconstrained = False

    def reply(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
    ) -> Reply:
        """See `Engine.reply`.

        Raises:
            RefusedRequestError: the server answered with an error status.
            EngineError: it cannot be reached, is too slow, answers with something else than a chat completion, gives no log-probabilities
                though asked, ends for another reason than `stop` or `length`, or counts more tokens than the contract allows.
        """
        body = {**_request(messages, max_tokens, temperature), "seed": seed}
        if top_logprobs:
            body |= {"logprobs": True, "top_logprobs": top_logprobs}
        if grammar is not None and self._constrains():
            body["grammar"] = grammar
        start = time.perf_counter()
        completion = self._server.complete(body)
        reply = self._as_reply(completion, time.perf_counter() - start)
        if top_logprobs and reply.text and not reply.tokens:
            raise EngineError(
                f"{self._server.url} gave no log-probabilities for {self._server.model!r}",
                "Choose a server and model that report logprobs, such as llama.cpp or vLLM",
            )
        return reply

    def reply_json(
        self, messages: Sequence[ChatMessage], *, schema: Mapping[str, Any], max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Reply:
        """An answer that the server holds to a JSON schema (OpenAI's `response_format`); a server may refuse that.

        Raises:
            RefusedRequestError, EngineError: as `reply`.
        """
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        start = time.perf_counter()
        completion = self._server.complete({**_request(messages, max_tokens, temperature), "seed": seed, "response_format": form})
        return self._as_reply(completion, time.perf_counter() - start)

    def embed(self, texts: Sequence[str], model: str) -> Embeddings:
        """The vectors of texts by an embedding model of the server.

        Raises:
            RefusedRequestError, EngineError: as `reply`; also when there are more or fewer vectors than texts.
        """
        found = self._server.embed({"model": model, "input": list(texts)})
        if sorted(vector.index for vector in found.data) != list(range(len(texts))):
            raise EngineError(f"{self._server.url} gave {len(found.data)} vectors for {len(texts)} texts", "Look into the server's log")
        return found

    def check(self) -> None:
        """Whether the server answers.

        Raises:
            RefusedRequestError, EngineError: as `reply`.
        """
        self._server.check()

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, FinishReason]:
        """See `Engine.stream`; the generator's return value says why the answer ended.

        Raises:
            RefusedRequestError, EngineError: as `reply`.
        """
        finish: str | None = None
        for chunk in self._server.chunks(_request(messages, max_tokens, temperature)):
            for choice in chunk.choices[:1]:
                finish = choice.finish_reason or finish
                if choice.delta.content:
                    yield choice.delta.content
        return self._finish_reason(finish)

    def close(self) -> None:
        """Close the connections to the server."""
        self._server.close()

    def _constrains(self) -> bool:
        if not self._server.takes_grammar and not self._told_unconstrained:
            self._told_unconstrained = True
            _log.warning("%s is not llama.cpp: its answers are not held to a grammar, only validated", self._server.url)
        return self._server.takes_grammar

    def _as_reply(self, completion: Completion, seconds: float) -> Reply:
        choice, usage = completion.choices[0], completion.usage
        if usage.prompt_tokens + usage.completion_tokens > self.contract.max_length:
            raise EngineError(
                f"{self._server.url} counted {usage.prompt_tokens} + {usage.completion_tokens} tokens, "
                f"the chat contract allows {self.contract.max_length}",
                "Shorten the messages or lower max_tokens",
            )
        listed = (choice.logprobs and choice.logprobs.content) or []
        return Reply(
            text=choice.message.content or "",
            tokens=tuple(Token(t.id, t.token, t.logprob, {a.token: a.logprob for a in t.top_logprobs}) for t in listed),
            finish_reason=self._finish_reason(choice.finish_reason),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            seconds=seconds,
        )

    def _finish_reason(self, said: str | None) -> FinishReason:
        if said in _FINISH:
            return _FINISH[said]
        raise EngineError(
            f"{self._server.url} ended its answer for the reason {said!r}",
            "Ask something else, or turn off the server's filters and tools",
        )


def _key_header(header: KeyHeader, key: str) -> dict[str, str]:
    return {"api-key": key} if header == "api-key" else {"Authorization": f"Bearer {key}"}


def _request(messages: Sequence[ChatMessage], max_tokens: int, temperature: float) -> dict[str, Any]:
    return {"messages": [dict(message) for message in messages], "max_tokens": max_tokens, "temperature": temperature}


def _server_words(response: httpx.Response) -> str:
    try:
        return _error_text(response.json())
    except (ValueError, RecursionError):
        return _short(response.text) or response.reason_phrase or "no explanation"


def _error_text(answer: Any) -> str:
    """What an error body says, in OpenAI's layout (`error.message`), FastAPI's or problem+json's (`detail`), or as it is."""
    error = answer.get("error", answer.get("detail", answer)) if isinstance(answer, dict) else answer
    return _short(str(error.get("message", error) if isinstance(error, dict) else error))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
