"""HL7 by MLLP: processor time a message, messages a second received and noted, and 10,000 of them with a kill -9 in the middle."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter, process_time, sleep

from rich.console import Console

from bedside.reports.assistant import assess
from bedside.reports.feed.desk import Desk
from bedside.reports.feed.mllp import arrival_of
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Store
from bedside.reports.feed.worker import QUEUE, drain
from bedside.reports.readers import read_report

MESSAGES = int(os.environ.get("BEDSIDE_BENCH_MESSAGES", "10000"))
_SENDERS = 4
_COUNTED = 550
"""Messages whose processor time is counted by part."""


def message(number: int) -> bytes:
    """A result of six analytes, as a laboratory sends it."""
    lines = [
        rf"MSH|^~\&|LAB|TEST LABORATORY|||202611200900||ORU^R01|B{number}|P|2.4",
        f"PID|1||{number}^^^LAB^MR||CITIZEN^ALEX||19{50 + number % 40}0302|M",
        f"OBR|1||{number}|UE^Urea and electrolytes^L|||202611200800|||||||||||||||202611200900|||F",
    ]
    rows = (
        ("2951-2^Sodium", 128 + number % 20, "mmol/L", "135-145"),
        ("2823-3^Potassium", 3.0 + number % 40 / 10, "mmol/L", "3.5-5.2"),
        ("2075-0^Chloride", 95 + number % 15, "mmol/L", "95-110"),
        ("1963-8^Bicarbonate", 20 + number % 12, "mmol/L", "22-32"),
        ("22664-7^Urea", 4 + number % 9, "mmol/L", "3.0-8.0"),
        ("14682-9^Creatinine", 55 + number % 130, "umol/L", "60-110"),
    )
    lines += [f"OBX|{place}|NM|{name}^LN||{value:g}|{unit}|{limits}||||F" for place, (name, value, unit, limits) in enumerate(rows, 1)]
    return ("\r".join(lines) + "\r").encode()


def measure(console: Console) -> None:
    """Print what a message costs, the rates, and whether every acknowledged message was noted exactly once after a kill."""
    _by_part(console)
    with tempfile.TemporaryDirectory(prefix="bedside-feed-") as folder:
        process, port = _serve(Path(folder))
        acknowledged: set[int] = set()
        start = perf_counter()
        threads = [threading.Thread(target=_send, args=(port, range(one, MESSAGES, _SENDERS), acknowledged)) for one in range(_SENDERS)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < MESSAGES // 2:
            sleep(0.01)
        process.kill()
        seconds = perf_counter() - start
        for thread in threads:
            thread.join()
        process.communicate()
        first = len(acknowledged)
        console.print(
            f"{_SENDERS} senders, one message at a time each: {first / seconds:.0f} acknowledged a second until the kill at {first:,}"
        )
        _after_the_kill(console, Path(folder), acknowledged)


def _by_part(console: Console) -> None:
    """Milliseconds of processor a message: all of a worker's work in this process, and of it what reading and assessing alone take."""
    messages = [message(number) for number in range(_COUNTED)]
    with tempfile.TemporaryDirectory(prefix="bedside-feed-") as name:
        out = Path(name)
        store = Store(out / QUEUE, durable=False)
        desk = Desk(store, out, Records(None))
        store.put([arrival_of(one) for one in messages[:50]])
        drain(store, desk, out)  # loads rules and tables
        store.put([arrival_of(one) for one in messages[50:]])
        start = process_time()
        while drain(store, desk, out):
            pass
        spent = {"all": (process_time() - start) / (_COUNTED - 50)}
        store.close()
    start = process_time()
    reports = [read_report(one, "message.hl7") for one in messages]
    spent["read"] = (process_time() - start) / _COUNTED
    start = process_time()
    for one in reports:
        assess(one)
    spent["assess"] = (process_time() - start) / _COUNTED
    spent["queue, write, commit"] = spent["all"] - spent["read"] - spent["assess"]
    console.print("worker, ms of processor a message: " + ", ".join(f"{part} {1000 * seconds:.2f}" for part, seconds in spent.items()))


def _after_the_kill(console: Console, folder: Path, acknowledged: set[int]) -> None:
    first = set(acknowledged)
    process, port = _serve(folder)
    store = Store(folder / "data" / QUEUE, durable=False)
    waiting, start = store.counts().waiting + MESSAGES - len(first), perf_counter()
    _send(port, [number for number in range(MESSAGES) if number not in first], acknowledged)
    while store.counts().waiting:
        sleep(0.05)
    seconds = perf_counter() - start
    counts = store.counts()
    results = {path.name for path in (folder / "out").glob("*.report.json") if json.loads(path.read_text())["findings"]}
    wanted = {f"{arrival_of(message(number)).name}.report.json" for number in acknowledged}
    process.send_signal(signal.SIGINT)
    process.communicate()
    console.print(f"received and noted together: {waiting / seconds:.0f} messages a second ({waiting:,} in {seconds:.1f} s)")
    console.print(
        f"acknowledged {len(acknowledged):,}; noted {counts.done:,}; results {len(results):,}, lost {len(wanted - results)}, too many {len(results - wanted)}; came again {counts.copies}"
    )


def _serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "bedside.cli", "reports", "serve", "--port", "0"]
    command += ["--data", str(folder / "data"), "--out", str(folder / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "COLUMNS": "200"})
    assert process.stdout
    while not (found := re.search(r"listening on \S+:(\d+);", process.stdout.readline())):
        if process.poll() is not None:
            raise RuntimeError("bedside reports serve ended")
    return process, int(found[1])


def _send(port: int, numbers: range | list[int], acknowledged: set[int]) -> None:
    """Send messages one after the other, each after the acknowledgement of the one before, until the other side is gone."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for number in numbers:
                connection.sendall(b"\x0b" + message(number) + b"\x1c\r")
                answer = b""
                while not answer.endswith(b"\x1c\r"):
                    if not (part := connection.recv(4096)):
                        return
                    answer += part
                if b"MSA|AA" in answer:
                    acknowledged.add(number)
        except OSError:
            return
