"""The gateway on this machine: what it adds to an engine, 200 triages a second, memory, and what a kill -9 under load loses.

Each figure stands beside its goal. The minutes of load are those of the variable BEDSIDE_BENCH_MINUTES, 1 by default; 30 shows whether
memory is flat. Times by the wall are the machine's: they say something about the gateway only where nothing else runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter, sleep, thread_time

import httpx
import xllamacpp
import yaml
from rich.console import Console
from rich.table import Table

from bedside.release import load_release
from bedside.server.rails import Rails
from bedside.server.settings import ScopeSettings
from bedside.workspace.audit import AuditLog

RELEASE = Path("runs/clinic-line/release")
TURNS = Path("src/bedside/evaluation/suites/caller-turns-dev.jsonl")
PAIRS = 100
RATE = 200
CONNECTIONS = 32
KILL_AFTER = 5.0
WARM_REQUESTS = 30 * RATE
"""Until the memory of caches and of the allocator has its size."""

ADDED_MS, CORE_MS, TRIAGE_MS, RESTART_SECONDS = 5, 1, 50, 5
GROWN_MIB = 8
"""What is called flat: 23 bytes for each of the 360,000 requests of half an hour."""


class Gateway:
    """`bedside serve` as a process over a server that speaks OpenAI's API."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self.settings = folder / "gateway.yaml"
        engines = [{"name": "m", "kind": "openai", "url": engine, "model": "m"}]
        security = {"require_keys": False, "console": False, "keyless_rate_per_minute": 1_000_000}
        self.settings.write_text(yaml.safe_dump({"listen": {"port": 0}, "engines": engines, "security": security}), encoding="utf-8")
        self.start()

    def start(self) -> float:
        """Start it; seconds until it answers."""
        begun = perf_counter()
        command = [sys.executable, "-m", "bedside.cli", "serve", "--settings", str(self.settings)]
        with (self.folder / "log.jsonl").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        while httpx.post(f"{self.url}/v1/triage", json={"text": "hello"}, timeout=10).status_code != 200:
            sleep(0.05)
        return perf_counter() - begun

    def processor_seconds(self) -> float:
        """Processor time that it took so far."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Its memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def measure(console: Console) -> None:
    """Print all of it."""
    texts = [json.loads(line)["text"] for line in TURNS.read_text(encoding="utf-8").splitlines()]
    with _engine() as engine, tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder), engine)
        try:
            _overhead(console, gateway, engine, texts)
            _triages(console, gateway, texts)
            _killed(console, gateway, texts)
        finally:
            gateway.process.kill()
            gateway.process.wait()


@contextmanager
def _engine() -> Iterator[str]:
    """The release behind llama.cpp's own server, in this process."""
    release = load_release(RELEASE)
    params = xllamacpp.CommonParams()
    params.model.path = str(release.model)
    params.n_ctx = release.contract.max_length
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


def _overhead(console: Console, gateway: Gateway, engine: str, texts: list[str]) -> None:
    """One token for each text from the engine alone and through the gateway, in turn, its prompt read before."""
    alone, through = [], []
    with httpx.Client(trust_env=False, timeout=60) as client:
        for number, text in enumerate(texts[:PAIRS]):
            body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 1, "temperature": 0}
            client.post(f"{engine}/v1/chat/completions", json=body)
            pair = ((engine, alone), (gateway.url, through))
            for url, seconds in pair if number % 2 else reversed(pair):
                start = perf_counter()
                client.post(f"{url}/v1/chat/completions", json=body).raise_for_status()
                seconds.append(perf_counter() - start)
    table = Table("", "p50 ms", "p95 ms", title=f"one token, {len(alone)} texts")
    for name, seconds in (("engine alone", alone), ("through the gateway", through)):
        table.add_row(name, _ms(seconds, 0.5), _ms(seconds, 0.95))
    console.print(table)
    added = [with_it - without for without, with_it in zip(alone, through, strict=True)]
    core = _core(texts[:PAIRS])
    _tell(console, "added by the gateway, p95", 1000 * _at(added, 0.95), ADDED_MS, "ms", f"p50 {_ms(added, 0.5)}")
    _tell(console, "of it the safety core, p95", 1000 * _at(core, 0.95), CORE_MS, "ms", f"p50 {_ms(core, 0.5)}")


def _core(texts: list[str]) -> list[float]:
    """Processor seconds of the rules for a question of each text and an answer of two sentences."""
    rails, seconds = Rails(ScopeSettings()), []
    for text in (texts[0], *texts):  # the first loads the knowledge and is not counted
        start = thread_time()
        reading = rails.read([{"role": "user", "content": text}], date(2026, 11, 22))
        guard = rails.guard(reading)
        guard.feed("I can book you with Doctor Nguyen on Thursday at ten past two. Is that all right?") + guard.close()
        seconds.append(thread_time() - start)
    return seconds[1:]


def _triages(console: Console, gateway: Gateway, texts: list[str]) -> None:
    minutes = float(os.environ.get("BEDSIDE_BENCH_MINUTES", "1"))
    asyncio.run(_load(gateway.url, texts, WARM_REQUESTS))
    memory, processor = gateway.resident(), gateway.processor_seconds()
    seconds, _ = asyncio.run(_load(gateway.url, texts, int(RATE * 60 * minutes)))
    each = 1000 * (gateway.processor_seconds() - processor) / len(seconds)
    more = f"p50 {_ms(seconds, 0.5)}, p95 {_ms(seconds, 0.95)}; {each:.2f} ms of processor a request"
    _tell(console, f"/v1/triage at {RATE} a second for {minutes:g} min, p99", 1000 * _at(seconds, 0.99), TRIAGE_MS, "ms", more)
    grown = gateway.resident() - memory
    _tell(console, f"memory grown in {minutes:g} min", grown, GROWN_MIB, "MiB", f"from {memory:.0f} MiB; the goal is of 30 min")


def _killed(console: Console, gateway: Gateway, texts: list[str]) -> None:
    async def under_load() -> list[str]:
        load = asyncio.create_task(_load(gateway.url, texts, RATE * 60))
        await asyncio.sleep(KILL_AFTER)
        gateway.process.kill()
        return (await load)[1]

    acknowledged = asyncio.run(under_load())
    gateway.process.wait()
    log = AuditLog(gateway.folder / "gateway-state" / "audit")
    logged = {entry.data["request"] for entry in log.entries(kind="api.asked")}
    restart = gateway.start()
    verified = log.verify()
    lost = len(set(acknowledged) - logged)
    _tell(console, "kill -9 under load, answered and not in the audit log", lost, 0, "events", f"of {len(acknowledged)} answered")
    _tell(console, "answers again after", restart, RESTART_SECONDS, "s")
    _tell(console, "the audit log's chain", int(verified.broken is not None), 0, "breaks", f"{verified.entries} entries")


def _tell(console: Console, what: str, figure: float, goal: float, unit: str, more: str = "") -> None:
    """A figure beside the most that it may be."""
    met = "met" if figure <= goal else "NOT met"
    beside = f" ({more})" if more else ""
    console.print(f"{what}: {round(figure, 1):g} {unit}{beside}; goal ≤ {goal:g} {unit}: {met}", highlight=False)


async def _load(url: str, texts: list[str], requests: int) -> tuple[list[float], list[str]]:
    """Ask at a steady rate whatever the answers do; seconds from when each was due, and the ids of those that were answered."""
    host, port = url.removeprefix("http://").split(":")
    begun, seconds, ids = perf_counter(), [], []

    async def ask(first: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(first, requests, CONNECTIONS):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - perf_counter()))
            body = json.dumps({"text": texts[number % len(texts)]}).encode()
            head = f"POST /v1/triage HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            try:
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(_header(answer, "content-length")))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if not answer.startswith("http/1.1 200"):
                raise RuntimeError(answer.splitlines()[0])
            seconds.append(perf_counter() - due)
            ids.append(_header(answer, "x-request-id"))
        writer.close()

    await asyncio.gather(*map(ask, range(CONNECTIONS)))
    return seconds, ids


def _header(answer: str, name: str) -> str:
    return next(line for line in answer.splitlines() if line.startswith(f"{name}:")).partition(":")[2].strip()


def _at(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(share * (len(seconds) - 1))]


def _ms(seconds: list[float], share: float) -> str:
    return f"{1000 * _at(seconds, share):.1f}"
