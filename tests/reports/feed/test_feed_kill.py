"""The whole feed as a process: killed in the middle, nothing that was acknowledged is lost or noted twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feed_messages import Sender, code_of, oru

from bedside.reports.feed.mllp import arrival_of
from bedside.reports.feed.store import Store
from bedside.reports.feed.worker import QUEUE

_MESSAGES = 400


class Serving:
    """`bedside reports serve` on a free port."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.data, self.out = folder / "data", folder / "out"
        command = [
            sys.executable,
            "-m",
            "bedside.cli",
            "reports",
            "serve",
            "--port",
            str(port),
            "--data",
            str(self.data),
            "--out",
            str(self.out),
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
        )
        assert self.process.stdout
        line = ""
        while "listening on" not in line:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
        found = re.search(r":(\d+);", line)
        assert found
        self.port = int(found[1])

    def drained(self, seconds: float = 240) -> Store:
        """The queue once nothing waits in it."""
        store = Store(self.data / QUEUE, durable=False)
        end = time.monotonic() + seconds
        while store.counts().waiting and time.monotonic() < end:
            time.sleep(0.1)
        return store

    def stop(self) -> str:
        """Stop it as Ctrl-C does; returns what it said."""
        self.process.send_signal(signal.SIGINT)
        said, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return said


@pytest.mark.slow
def test_a_kill_in_the_middle_loses_no_acknowledged_message_and_notes_none_twice(tmp_path: Path) -> None:
    messages = [oru(f"M{number}", value=f"{3.6 + number % 16 / 10:.1f}") for number in range(_MESSAGES)]
    serving, acknowledged = Serving(tmp_path), set[int]()
    sender = Sender(serving.port)
    for number, message in enumerate(messages[: _MESSAGES // 2]):
        if code_of(sender.send(message)) == "AA":
            acknowledged.add(number)
    serving.process.kill()
    serving.process.communicate()
    sender.close()
    assert len(acknowledged) == _MESSAGES // 2
    serving = Serving(tmp_path)
    sender = Sender(serving.port)
    # A sender that missed an answer repeats: the last ones come again.
    for number in range(_MESSAGES // 2 - 20, _MESSAGES):
        assert code_of(sender.send(messages[number])) == "AA"
        acknowledged.add(number)
    sender.close()
    counts = serving.drained().counts()
    assert (counts.done, counts.waiting, counts.refused, counts.copies) == (_MESSAGES, 0, 0, 20)
    results = {path.name: json.loads(path.read_text()) for path in serving.out.glob("*.json")}
    assert results.keys() == {f"{arrival_of(messages[number]).name}.report.json" for number in acknowledged}
    assert not any("superseded_by" in row for row in results.values())
    assert f"stopped: {_MESSAGES:,} noted" in serving.stop()


@pytest.mark.slow
def test_a_second_listener_on_the_same_queue_is_refused_and_status_and_retry_tell_and_mend(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    bedside = [sys.executable, "-m", "bedside.cli", "reports"]
    second = subprocess.run([*bedside, "serve", "--port", "0", "--data", str(serving.data)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2 and "another listener uses the queue" in second.stderr
    sender = Sender(serving.port)
    assert code_of(sender.send(b"MSH|^~\\&|LAB|L|||2026||ORU^R01|B1|P|2.4\rPID|1\r")) == "AA"
    sender.close()
    serving.drained()
    status = subprocess.run([*bedside, "status", "--data", str(serving.data)], capture_output=True, text=True, timeout=60)
    assert "1 refused" in status.stdout and "holds no HL7 result" in status.stdout
    retry = subprocess.run([*bedside, "retry", "--data", str(serving.data)], capture_output=True, text=True, timeout=60)
    assert "1 messages wait again" in retry.stdout
    serving.stop()


@pytest.mark.slow
def test_a_watch_notes_what_comes_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    command = [sys.executable, "-m", "bedside.cli", "report", "--watch", str(inbox), "--out", str(out)]
    for round_, name in enumerate(("a.hl7", "b.hl7")):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        (inbox / name).write_bytes(oru(f"W{round_}"))
        end = time.monotonic() + 120
        while not (out / f"{name}.report.html").is_file() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL if round_ == 0 else signal.SIGINT)
        said, errors = process.communicate(timeout=30)
        assert said.count(".report.html") == 1 and name in said, errors
    assert process.returncode == 0, "Ctrl-C is how a watch is meant to end"
