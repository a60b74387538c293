"""Gateways for tests: in this process over engines that do as they are told, and as real processes over the real base model."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bedside.engine.base import Reply, Token
from bedside.engine.contract import ChatContract, Code, Codebook
from bedside.release.build import FileEntry, Manifest
from bedside.server.engines import EnginePool, Lane
from bedside.server.gateway import Gateway, open_gateway
from bedside.server.settings import EngineSettings, GatewaySettings
from bedside.workspace.files import sha256_file, write_json

NAME = "clinic-line"
ASK = {"model": NAME, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
CODEBOOK = Codebook(
    intents={"appt_new": Code(word="booking", token=1)},
    slots={"practitioner": Code(word="Doctor", token=2)},
    none=Code(word="none", token=3),
)
OPEN = {"require_keys": False, "console": False}
NOWHERE = "http://127.0.0.1:9"


class Told:
    """An engine that says what it is told, when it is told to: queues, faults and guards are about time and words that no real model holds
    still.

    Args:
        contract: as of any engine.
        says: the answer; a stream gives it letter by letter in pieces of three.
        fault: raised in place of an answer, and by a stream after `before` letters.
        waits: answer only once `go` is set.
    """

    def __init__(
        self, contract: ChatContract, says: str = "ok", *, fault: Exception | None = None, before: int = 3, waits: bool = False
    ) -> None:
        self.contract, self.says, self.fault, self.before = contract, says, fault, before
        self.go = threading.Event()
        if not waits:
            self.go.set()
        self.closed = False
        self.asked: list[Sequence[Any]] = []
        self.at_once = self.most_at_once = 0

    def reply(
        self,
        messages: Sequence[Any],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
    ) -> Reply:
        self._begin(messages)
        if self.fault:
            raise self.fault
        words = (" booking", " Doctor", " dr", " ng") if grammar else (self.says,)
        return Reply(self.says, tuple(Token(-1, text, -0.01, {text: -0.01}) for text in words), "stop", 1, 1, 0.0)

    def reply_json(self, messages: Sequence[Any], *, schema: Any, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Reply:
        return self.reply(messages, max_tokens=max_tokens)

    def stream(self, messages: Sequence[Any], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, str]:
        self._begin(messages)
        for start in range(0, len(self.says), 3):
            if self.fault and start >= self.before:
                raise self.fault
            yield self.says[start : start + 3]
        if self.fault:
            raise self.fault
        return "stop"

    def close(self) -> None:
        self.closed = True

    def _begin(self, messages: Sequence[Any]) -> None:
        self.asked.append(messages)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.go.wait(20)
        self.at_once -= 1


def open_told(folder: Path, *engines: Told, settings: dict[str, Any] | None = None, **lane: Any) -> Gateway:
    """A gateway over engines that serve one model in turn, without keys."""
    given = {"name": NAME, "kind": "openai", "url": NOWHERE, "model": NAME, **lane}
    wanted = {"security": OPEN, **(settings or {})}
    gateway = open_gateway(GatewaySettings.model_validate({"engines": [given], "state": folder, **wanted}))
    gateway.engines.close()
    of_each = [EngineSettings.model_validate({**given, "name": f"{NAME}-{number}", "serves": NAME}) for number in range(len(engines))]
    pool = EnginePool(Lane(one, engine) for one, engine in zip(of_each, engines, strict=True))
    return replace(gateway, engines=pool)


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """The address of a gateway that runs in a thread as it would in its process."""
    import uvicorn

    from bedside.server.app import server_config

    server = uvicorn.Server(server_config(gateway))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(15)
            gateway.close()


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, which holds no trace."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status and document["code"] == code and document["title"]
    assert "Traceback" not in response.text and '.py"' not in response.text
    return document


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream, `[DONE]` left out."""
    return [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]


def said(text: str) -> str:
    """The words of a stream."""
    return "".join(choice["delta"].get("content", "") for event in events(text) for choice in event.get("choices", ()))


class Process:
    """`bedside serve` in its own process."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self._errors = (cwd / "log.jsonl").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bedside.cli", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        self.example = self.process.stdout.readline().removeprefix("Try: ").strip()
        self.url = self.greeting.split()[-1] if self.greeting else ""
        self.log = cwd / "log.jsonl"

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return httpx.post(self.url + path, content=json.dumps(body), headers=headers, timeout=60, trust_env=False, **options)

    def stop(self) -> int:
        self.process.terminate()
        status = self.process.wait(20)
        self._errors.close()
        return status


def write_release(folder: Path, gguf: Path, contract: ChatContract) -> Path:
    """A whole release folder around a model file."""
    folder.mkdir(parents=True)
    try:
        os.link(gguf, folder / "model.gguf")
    except OSError:  # another file system
        shutil.copyfile(gguf, folder / "model.gguf")
    contract.save(folder)
    entries = {
        name: FileEntry(sha256=sha256_file(folder / name), bytes=(folder / name).stat().st_size) for name in ("model.gguf", "contract.json")
    }
    manifest = Manifest(name=NAME, kind="Q4_1", date="2026-11-22", bedside="0", contract=contract.hash, files=entries)
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
    return folder


@pytest.fixture(scope="session")
def base_release(base_gguf: Path, chatml_contract: ChatContract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untuned base model as a release that understands no callers."""
    return write_release(tmp_path_factory.mktemp("made") / NAME / "release", base_gguf, chatml_contract)


@pytest.fixture(scope="module")
def start(base_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Process]]:
    """Starts gateways over the base model, and stops what is left of them."""
    running: list[Process] = []

    def begin(*arguments: str) -> Process:
        folder = tmp_path_factory.mktemp("gateway")
        # One thread: those of several tests on few cores would wait for each other at every step of the model.
        settings = {"listen": {"port": 0}, "engines": [{"name": NAME, "release": str(base_release), "threads": 1}], "security": OPEN}
        (folder / "gateway.yaml").write_text(json.dumps(settings), encoding="utf-8")
        running.append(Process(*(arguments or ("--settings", "gateway.yaml")), cwd=folder))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="module")
def gateway(start: Callable[..., Process]) -> Process:
    """A gateway over the base model."""
    return start()
