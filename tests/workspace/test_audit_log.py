"""The audit log: nothing acknowledged is lost, nothing changed goes unseen, and nothing of what was said gets in."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.workspace.audit import AuditError, AuditLog, Entry, Head, events


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 22, 23, 59, 59, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path, clock: Clock) -> AuditLog:
    return AuditLog(tmp_path / "audit", clock)


def fill(log: AuditLog, count: int = 5) -> list[Entry]:
    return [log.append("tool.called", call="c1", turn=n, operation="book", ok=True) for n in range(count)]


def lines(tmp_path: Path, day: str = "2026-11-22") -> tuple[Path, list[bytes]]:
    path = tmp_path / "audit" / f"{day}.jsonl"
    return path, path.read_bytes().splitlines(keepends=True)


def test_entries_come_back_in_order_and_by_what_was_asked(log: AuditLog, clock: Clock) -> None:
    fill(log)
    clock.now += dt.timedelta(days=1)
    log.append("call.started", call="c2", transport="sip")
    assert [entry.seq for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert [entry.seq for entry in log.entries(call="c1", turn="3")] == [4]
    assert [entry.data for entry in log.entries(since=dt.date(2026, 11, 23), kind="call.started")] == [{"call": "c2", "transport": "sip"}]
    assert log.verify().entries == 6 and log.verify().broken is None and log.verify().head == log.head()


def test_who_reads_is_logged(log: AuditLog) -> None:
    fill(log, 1)
    assert [entry.kind for entry in log.read("sam", call="c1")] == ["tool.called"]
    assert [entry.data for entry in log.entries(kind="audit.read")] == [{"by": "sam", "query": "call=c1"}]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("call.wiretapped", {}, "is no kind of audit event"),
        ("turn.heard", {"call": "c", "text": "my chest hurts"}, "has no field 'text'"),
        ("turn.heard", {"call": "my chest hurts " * 20}, "no text of at most 200 letters"),
        ("turn.heard", {"call": {"text": "my chest hurts"}}, "no number and no text"),
        ("turn.decided", {"rules": ["RF01"] * 500}, "has 500 values"),
    ],
)
def test_what_has_no_place_in_the_log_is_refused(log: AuditLog, kind: str, data: dict[str, object], said: str) -> None:
    with pytest.raises(AuditError, match=said):
        log.append(kind, **data)
    assert list(log.entries()) == []


def test_no_kind_of_event_has_a_place_for_what_was_said() -> None:
    fields = {field for known in events().values() for field in known}
    assert not fields & {"transcript", "words", "name", "born", "birth", "medicare", "mobile", "body", "question", "answer"}


def test_a_fingerprint_tells_equal_from_different_and_is_keyed(log: AuditLog, tmp_path: Path) -> None:
    assert log.fingerprint("2123456701") == log.fingerprint("2123456701") != log.fingerprint("2950341791")
    assert log.fingerprint("2123456701") != AuditLog(tmp_path / "other").fingerprint("2123456701")
    assert (tmp_path / "audit" / "key").stat().st_mode & 0o077 == 0


def damage(which: str, found: list[bytes]) -> list[bytes]:
    changed = json.loads(found[2])
    changed["data"]["turn"] = 99
    forged = {**changed, "hash": "f" * 64}
    return {
        "changed": [*found[:2], json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n", *found[3:]],
        "forged": [*found[:2], json.dumps(forged, sort_keys=True, separators=(",", ":")).encode() + b"\n", *found[3:]],
        "left out": [*found[:2], *found[3:]],
        "swapped": [*found[:2], found[3], found[2], *found[4:]],
        "doubled": [*found[:2], found[1], *found[2:]],
        "put between": [*found[:2], b'{"seq": 3}\n', *found[2:]],
        "no text": [*found[:2], b"\xff\xfe\x00\n", *found[3:]],
        "huge": [*found[:2], b"x" * 300_000 + b"\n", *found[3:]],
        "other spacing": [*found[:2], found[2].replace(b":", b": ", 1), *found[3:]],
    }[which]


@pytest.mark.parametrize(
    "which", ["changed", "forged", "left out", "swapped", "doubled", "put between", "no text", "huge", "other spacing"]
)
def test_the_first_broken_entry_is_named(log: AuditLog, tmp_path: Path, which: str) -> None:
    fill(log)
    path, found = lines(tmp_path)
    path.write_bytes(b"".join(damage(which, found)))
    verified = log.verify()
    assert verified.entries == 2 and verified.broken and verified.broken.startswith("2026-11-22.jsonl line 3, entry 3: ")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_changed_byte_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    log = AuditLog(folder)
    fill(log, 3)
    kept = log.head()
    path = next(folder.glob("????-??-??.jsonl"))
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert log.verify(kept).broken is not None


def test_an_end_that_was_cut_off_is_seen_by_who_kept_the_head(log: AuditLog, tmp_path: Path) -> None:
    fill(log)
    kept = log.head()
    path, found = lines(tmp_path)
    path.write_bytes(b"".join(found[:4]))
    assert log.verify().broken is None
    assert log.verify(kept).broken == "the log ends with entry 4, and entry 5 was kept"
    fill(log, 3)
    assert "not the one that was kept" in (log.verify(kept).broken or "")


def test_a_finished_day_is_sealed_and_its_end_cannot_be_cut(log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    fill(log)
    clock.now += dt.timedelta(days=1)
    fill(log)
    path, found = lines(tmp_path)
    path.write_bytes(b"".join(found[:4]))
    assert "its seal names entry 5" in (log.verify().broken or "")


def test_a_clock_that_runs_back_does_not_break_the_chain(log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    fill(log, 2)
    clock.now += dt.timedelta(days=1)
    fill(log, 2)
    clock.now -= dt.timedelta(days=1)
    fill(log, 2)
    AuditLog(tmp_path / "audit", clock).append("login", by="sam", ok=True)
    assert log.verify().entries == 7 and log.verify().broken is None


def test_old_days_can_go_and_the_chain_is_still_whole(log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    for _ in range(4):
        fill(log, 3)
        clock.now += dt.timedelta(days=1)
    fill(log, 1)
    early = Head(2, next(entry.hash for entry in log.entries() if entry.seq == 2))
    assert log.prune(keep_days=3, by="retention") == 3
    assert not (tmp_path / "audit" / "2026-11-22.jsonl").exists()
    verified = log.verify(early)
    assert verified.broken is None and verified.entries == 11
    assert next(log.entries(kind="audit.pruned")).data == {"by": "retention", "before": "2026-11-23", "entries": 3}
    (tmp_path / "audit" / "seals.jsonl").unlink()
    assert log.verify().broken is not None


def test_a_torn_last_line_is_cut_off_and_the_next_entry_says_so(log: AuditLog, tmp_path: Path, clock: Clock) -> None:
    fill(log)
    path, _ = lines(tmp_path)
    with path.open("ab") as stream:
        stream.write(b'{"seq": 6, "at": "2026')
    assert log.verify().broken is None and log.verify().unfinished == 22
    AuditLog(tmp_path / "audit", clock).append("login", by="sam", ok=True)
    assert [(entry.seq, entry.kind) for entry in log.entries()][-2:] == [(6, "audit.repaired"), (7, "login")]
    assert log.verify().broken is None and log.verify().unfinished == 0


def test_threads_and_processes_write_one_chain(tmp_path: Path) -> None:
    logs = [AuditLog(tmp_path / "audit") for _ in range(3)]
    threads = [threading.Thread(target=fill, args=(log, 15)) for log in logs for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs[0].verify().entries == 135 and logs[0].verify().broken is None


WRITER = """
import sys
from pathlib import Path
from bedside.workspace.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    entry = log.append("tool.called", call=sys.argv[2], turn=number)
    print(entry.seq, entry.hash, flush=True)
"""


def test_kill_9_under_load_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name], stdout=(tmp_path / name).open("wb")) for name in ("a", "b", "c")
    ]
    deadline = time.monotonic() + 60
    while any((tmp_path / name).read_bytes().count(b"\n") < 10 for name in ("a", "b", "c")) and time.monotonic() < deadline:
        time.sleep(0.05)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    acknowledged = {
        tuple(line.split())
        for name in ("a", "b", "c")
        for line in (tmp_path / name).read_text().splitlines(keepends=True)
        if line.endswith("\n")
    }
    assert len(acknowledged) >= 30
    log = AuditLog(folder)
    log.append("login", by="sam", ok=True)
    assert log.verify().broken is None
    assert acknowledged <= {(str(entry.seq), entry.hash) for entry in log.entries()}


FULL = """
import resource, sys
from pathlib import Path
from bedside.workspace.audit import AuditError, AuditLog
log = AuditLog(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
kept = 0
try:
    for kept in range(1000):
        log.append("call.started", call=f"call-{kept}")
except AuditError as error:
    print(kept, error)
"""


def test_a_disk_that_is_full_is_a_clear_error_and_the_log_stays_whole(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "audit")], capture_output=True, text=True, check=True)
    kept, _, said = ran.stdout.partition(" ")
    assert "cannot be written" in said and "must not go on without its log" in said
    log = AuditLog(tmp_path / "audit")
    assert log.verify().entries == int(kept) > 3 and log.verify().unfinished == 0
    log.append("call.started", call="after")
    assert log.verify().broken is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot be written or read"):
        AuditLog(tmp_path / "file" / "audit")
