"""The embedded engine: llama.cpp in this process, by xllamacpp."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from bedside.engine.base import FinishReason, Reply, Token
from bedside.engine.contract import ChatContract, ChatMessage
from bedside.errors import EngineError, PromptTooLongError

_FULL = "Shorten the question, or raise max_length in the recipe and build the release again"


class LlamaCppEngine:
    """Runs one GGUF file under one chat contract.

    Args:
        model: the GGUF file.
        contract: how it is asked; also the context length.
        threads: processor threads; None takes all cores of this machine.
        parallel: requests answered at a time.

    Raises:
        EngineError: the file is missing or llama.cpp cannot load it.
    """

    def __init__(self, model: Path, contract: ChatContract, *, threads: int | None = None, parallel: int = 1) -> None:
        if not model.is_file():
            raise EngineError(f"there is no model file {str(model)!r}", "Give the folder of a release, or run `bedside run` first")
        self.contract = contract
        self.model = model
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = contract.max_length * parallel
        params.n_parallel = parallel
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or len(os.sched_getaffinity(0))
        params.verbosity = -1
        params.offline = True
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise EngineError(
                f"llama.cpp cannot load {str(model)!r} ({error})", "Check the file with `bedside verify`, or build the release again"
            ) from error

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
        """See `Engine.reply`."""
        return self.complete(
            self.contract.render(messages),
            max_tokens=max_tokens,
            temperature=temperature,
            top_logprobs=top_logprobs,
            grammar=grammar,
            seed=seed,
        )

    def reply_json(
        self, messages: Sequence[ChatMessage], *, schema: Mapping[str, Any], max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Reply:
        """An answer that is held to a JSON schema; one that llama.cpp cannot hold to is passed over, so the answer has to be read again.

        Raises:
            EngineError: as `reply`.
        """
        # Without this a small model may fill its answer with blank lines, which JSON allows anywhere.
        rules = xllamacpp.json_schema_to_grammar({**schema, "x-guidance": {"whitespace_flexible": False}})
        return self.reply(messages, max_tokens=max_tokens, temperature=temperature, grammar=rules, seed=seed)

    def complete(
        self,
        prompt: str | list[int],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
        ignore_stop: bool = False,
    ) -> Reply:
        """Continue a rendered prompt, given as text or token ids; as `reply` otherwise."""
        request: dict[str, Any] = {
            "prompt": prompt,
            "n_predict": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "cache_prompt": True,
            "n_probs": top_logprobs,
            "ignore_eos": ignore_stop,
        }
        if grammar is not None:
            request["grammar"] = grammar
        start = time.perf_counter()
        answer = _checked(self._server.handle_completions(request))
        return _as_reply(answer, time.perf_counter() - start)

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, FinishReason]:
        """See `Engine.stream`."""
        request = {
            "prompt": self.contract.render(messages),
            "n_predict": max_tokens,
            "temperature": temperature,
            "cache_prompt": True,
            "stream": True,
        }
        pieces: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
        gone = threading.Event()
        finish: FinishReason = "stop"

        def receive(chunk: Any) -> bool:
            for part in chunk if isinstance(chunk, list) else [chunk]:
                try:
                    pieces.put(_checked(part)["choices"][0])
                except EngineError as error:
                    pieces.put(error)
            return gone.is_set()

        def work() -> None:
            try:
                self._server.handle_completions(request, receive)
            finally:
                pieces.put(None)

        threading.Thread(target=work, daemon=True).start()
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                finish = "length" if piece.get("finish_reason") == "length" else finish
                if piece.get("text"):
                    yield piece["text"]
        finally:
            gone.set()
        return finish

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered text, special tokens recognised; BOS is added where the file's vocabulary says so."""
        body = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{self._server.listening_address}/tokenize", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            tokens: list[int] = json.load(response)["tokens"]
        return tokens

    def close(self) -> None:
        """Unload the model."""
        del self._server


def _checked(answer: Any) -> dict[str, Any]:
    answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
    error = answer.get("error") if isinstance(answer, dict) else {"message": repr(answer)}
    if error or "choices" not in answer:
        kind = PromptTooLongError if "context size" in str(error) else EngineError
        raise kind(f"llama.cpp refused the request ({(error or {}).get('message', answer)})", _FULL)
    return dict(answer)


def _as_reply(answer: dict[str, Any], seconds: float) -> Reply:
    choice, usage = answer["choices"][0], answer["usage"]
    listed = (choice.get("logprobs") or {}).get("content") or []
    tokens = tuple(Token(t["id"], t["token"], t["logprob"], {a["token"]: a["logprob"] for a in t.get("top_logprobs", [])}) for t in listed)
    return Reply(
        text=choice["text"],
        tokens=tokens,
        finish_reason="length" if choice["finish_reason"] == "length" else "stop",
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        seconds=seconds,
    )
