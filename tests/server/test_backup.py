"""Backup while the gateway is being written to, and back: nothing acknowledged before it is missing, and nothing is overwritten."""

from __future__ import annotations

import json
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest_e2e import bedside
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from bedside.errors import BedsideError
from bedside.server.backup import BackupManifest, back_up, restore
from bedside.server.database import Database
from bedside.server.settings import load_settings
from bedside.server.snapshots import BackupError
from bedside.workspace.audit import AuditLog
from fixtures_release import flip

SETTINGS = """
engines:
  - {name: clinic-line, release: release}
practice: practice/ours.yaml
listen: {tls: {certificate: gateway-state/tls/gateway.pem, key: /elsewhere/gateway.key}}
"""


def make_gateway(folder: Path, more: str = "") -> Path:
    """A gateway's files as `bedside serve` leaves them; the path of its settings."""
    (folder / "practice").mkdir(parents=True)
    (folder / "practice" / "ours.yaml").write_text("name: Example Street Practice\n")
    path = folder / "gateway.yaml"
    path.write_text(SETTINGS + more)
    read = load_settings(path)
    (read.state / "tls").mkdir(parents=True)
    (read.state / "tls" / "gateway.pem").write_text("certificate")
    AuditLog(read.audit_folder).append("login", by="jo", ok=True)
    with note_in(read.database_url) as add:
        add(0)
    return path


@contextmanager
def note_in(url: str) -> Iterator:  # type: ignore[type-arg]
    """A function that writes a number into the gateway's database."""
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS note (number INTEGER PRIMARY KEY)"))

    def add(number: int) -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO note VALUES (:number)"), {"number": number})

    yield add
    database.close()


def notes(url: str) -> list[int]:
    database = Database(url)
    with database.reading() as connection:
        found = [row[0] for row in connection.execute(text("SELECT number FROM note ORDER BY number"))]
    database.close()
    return found


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    return make_gateway(tmp_path / "gateway")


@pytest.fixture
def archive(gateway: Path, tmp_path: Path) -> Path:
    back_up(gateway, tmp_path / "backup.zip")
    return tmp_path / "backup.zip"


def test_a_backup_goes_back_as_it_was(gateway: Path, archive: Path, tmp_path: Path) -> None:
    restored = restore(archive, tmp_path / "back")
    again = load_settings(restored.settings)
    assert restored.settings.read_text() == gateway.read_text()
    assert notes(again.database_url) == [0]
    assert (again.state / "tls" / "gateway.pem").read_text() == "certificate"
    assert (tmp_path / "back" / "practice" / "ours.yaml").read_text() == "name: Example Street Practice\n"
    log = AuditLog(again.audit_folder)
    assert [entry.kind for entry in log.entries()] == ["login", "records.exported"]
    assert log.fingerprint("x") == AuditLog(load_settings(gateway).audit_folder).fingerprint("x")
    log.append("login", by="jo", ok=True)
    assert log.verify().broken is None and log.verify().entries == 3


def test_what_is_not_in_it_is_said(archive: Path, gateway: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        left_out = BackupManifest.model_validate_json(packed.read("manifest.json")).left_out
    assert left_out == ("/elsewhere/gateway.key (missing)", f"{gateway.parent / 'release'} (release)")


def test_only_its_owner_can_read_it_and_nothing_else_is_left(archive: Path, tmp_path: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"gateway", "backup.zip"}


def test_a_backup_under_load_holds_everything_that_was_acknowledged_before_it(gateway: Path, tmp_path: Path) -> None:
    read, stop = load_settings(gateway), threading.Event()
    acknowledged, written = [0], [0]

    def log_events() -> None:
        log = AuditLog(read.audit_folder)
        while not stop.is_set():
            acknowledged[0] = log.append("login", by="jo", ok=True).seq

    def write_rows() -> None:
        with note_in(read.database_url) as add:
            while not stop.is_set():
                add(written[0] + 1)
                written[0] += 1

    threads = [threading.Thread(target=work) for work in (log_events, log_events, write_rows)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        events, rows = acknowledged[0], written[0]
        made = back_up(gateway, tmp_path / "backup.zip")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    again = load_settings(restore(tmp_path / "backup.zip", tmp_path / "back").settings)
    found = AuditLog(again.audit_folder).verify()
    assert found.broken is None and found.unfinished == 0 and found.head.seq == made.audits["state/audit"].head[0] >= events > 1
    kept = notes(again.database_url)
    assert kept == list(range(len(kept))) and len(kept) > rows > 1


def test_nothing_is_overwritten(gateway: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is there already"):
        back_up(gateway, archive)
    with pytest.raises(BackupError, match="state folder"):
        back_up(gateway, gateway.parent / "gateway-state" / "backup.zip")
    (tmp_path / "back").mkdir()
    restore(archive, tmp_path / "back")
    before = (tmp_path / "back" / "gateway.yaml").stat().st_ino
    with pytest.raises(BackupError, match="overwrites nothing"):
        restore(archive, tmp_path / "back")
    assert (tmp_path / "back" / "gateway.yaml").stat().st_ino == before


def test_state_and_database_elsewhere_go_back_there_and_are_not_overwritten(tmp_path: Path) -> None:
    state, database = tmp_path / "var" / "state", tmp_path / "db" / "clinic.sqlite"
    path = make_gateway(tmp_path / "gateway", f"state: {state}\ndatabase: sqlite:///{database}\n")
    back_up(path, tmp_path / "backup.zip")
    with pytest.raises(BackupError, match="var/state"):
        restore(tmp_path / "backup.zip", tmp_path / "back")
    shutil.rmtree(state)
    with pytest.raises(BackupError, match=r"clinic\.sqlite"):
        restore(tmp_path / "backup.zip", tmp_path / "back")
    assert not (tmp_path / "back").exists() and not state.exists()
    shutil.rmtree(tmp_path / "db")
    restore(tmp_path / "backup.zip", tmp_path / "back")
    assert notes(f"sqlite:///{database}") == [0]
    assert AuditLog(state / "audit").verify().broken is None


@pytest.mark.parametrize("line", ["phone-data", "gateway-state/phone"])
def test_the_phone_line_s_records_go_with_it(tmp_path: Path, line: str) -> None:
    path = make_gateway(tmp_path / "gateway", f"phone: {{data: {line}}}\n")
    folder = tmp_path / "gateway" / line
    for name in ("transcripts/call.json", "recordings/call.wav", "prompts/said.pcm"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    AuditLog(folder / "audit").append("call.started", call="c1")
    with note_in(f"sqlite:///{folder / 'practice.sqlite'}") as add:
        add(7)
    made = back_up(path, tmp_path / "backup.zip")
    assert f"{folder / 'prompts'} (made anew when the line starts)" in made.left_out
    restore(tmp_path / "backup.zip", tmp_path / "back")
    again = tmp_path / "back" / line
    assert (again / "transcripts" / "call.json").read_text() == "transcripts/call.json"
    assert (again / "recordings" / "call.wav").exists() and not (again / "prompts").exists()
    assert [entry.kind for entry in AuditLog(again / "audit").entries()] == ["call.started"]
    assert notes(f"sqlite:///{again / 'practice.sqlite'}") == [7]
    assert AuditLog(tmp_path / "back" / "gateway-state" / "audit").verify().entries == 2


def test_a_database_that_line_and_gateway_share_goes_back_once(tmp_path: Path) -> None:
    shared = tmp_path / "gateway" / "phone-data" / "practice.sqlite"
    path = make_gateway(tmp_path / "gateway", f"phone: {{data: phone-data}}\ndatabase: sqlite:///{shared}\n")
    assert back_up(path, tmp_path / "backup.zip").databases == ("database.sqlite",)
    (shared.parent).rename(tmp_path / "old")
    restore(tmp_path / "backup.zip", tmp_path / "back")
    assert notes(f"sqlite:///{shared}") == [0]


def test_a_broken_audit_log_is_backed_up_as_evidence_and_said(gateway: Path, tmp_path: Path) -> None:
    folder = load_settings(gateway).audit_folder
    AuditLog(folder).append("login", by="jo", ok=False)
    flip(next(folder.glob("*-*-*.jsonl")), 40)
    made = back_up(gateway, tmp_path / "backup.zip")
    assert "line 1" in str(made.audits["state/audit"].broken)
    restored = restore(tmp_path / "backup.zip", tmp_path / "back")
    assert restored.manifest.audits == made.audits


def test_a_damaged_database_stops_the_backup(gateway: Path, tmp_path: Path) -> None:
    database = load_settings(gateway).state / "gateway.sqlite"
    content = bytearray(database.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    database.write_bytes(content)
    with pytest.raises(BackupError, match=r"damaged|cannot be copied"):
        back_up(gateway, tmp_path / "backup.zip")
    assert not (tmp_path / "backup.zip").exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.9999), cut=st.booleans())
def test_a_damaged_backup_restores_wholly_or_not_at_all(archive: Path, tmp_path: Path, share: float, cut: bool) -> None:
    bad, back, content = tmp_path / "bad.zip", tmp_path / "maybe", bytearray(archive.read_bytes())
    at = int(len(content) * share)
    content[at] ^= 0x10
    bad.write_bytes(content[:at] if cut else content)
    shutil.rmtree(back, ignore_errors=True)
    try:
        restore(bad, back)
    except BedsideError:
        assert not back.exists()
    else:  # the bit was one that ZIP does not use
        assert notes(load_settings(back / "gateway.yaml").database_url) == [0]
    assert not list(tmp_path.glob(".maybe*"))


def forged(archive: Path, out: Path, manifest: dict[str, object], members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(archive) as packed:
        real = json.loads(packed.read("manifest.json"))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.json", json.dumps({**real, **manifest}))
        for name, content in members.items():
            packed.writestr(name, content)
    return out


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "state/../../outside", "state//x", "other/file", "state\\..\\x", ""])
def test_a_hostile_backup_cannot_write_elsewhere(archive: Path, tmp_path: Path, name: str) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    bad = forged(archive, tmp_path / "bad.zip", {"files": {name: entry}}, {name or "x": b"x"})
    with pytest.raises(BackupError, match="cannot be used"):
        restore(bad, tmp_path / "back")
    assert not (tmp_path / "back").exists() and not (tmp_path / "outside").exists()


def test_a_backup_that_holds_more_than_it_says_is_not_unpacked(archive: Path, tmp_path: Path) -> None:
    entry = {"sha256": "0" * 64, "bytes": 10}
    bomb = forged(archive, tmp_path / "bad.zip", {"files": {"state/x": entry}}, {"state/x": b"\0" * 20_000_000})
    with pytest.raises(BackupError, match="damaged at 'state/x'"):
        restore(bomb, tmp_path / "back")
    huge = forged(archive, tmp_path / "huge.zip", {"files": {"state/x": {**entry, "bytes": 1 << 60}}}, {"state/x": b"x"})
    with pytest.raises(BackupError, match="are free"):
        restore(huge, tmp_path / "back")


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is no backup"):
        restore(tmp_path / "none.zip", tmp_path / "back")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(BackupError, match="no whole backup"):
        restore(tmp_path / "text.zip", tmp_path / "back")


@pytest.mark.slow
def test_a_gateway_on_postgresql_goes_back_into_an_empty_database_only(tmp_path: Path, postgres: str) -> None:
    if not shutil.which("pg_dump"):
        pytest.skip("apt install postgresql-client")
    url = str(make_url(postgres).set(database="clinic").render_as_string(hide_password=False))
    server = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE clinic"))
    path = make_gateway(tmp_path / "gateway", f"database: {url}\n")
    made = back_up(path, tmp_path / "backup.zip")
    assert made.databases == ("database.pgdump",)
    with pytest.raises(BackupError, match="already exists"):
        restore(tmp_path / "backup.zip", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE clinic"))
        connection.execute(text("CREATE DATABASE clinic"))
    restore(tmp_path / "backup.zip", tmp_path / "back")
    assert notes(url) == [0]
    server.dispose()


@pytest.mark.slow
def test_the_commands_say_what_was_done_and_what_comes_next(gateway: Path, tmp_path: Path) -> None:
    archive, back = tmp_path / "night.zip", tmp_path / "back"
    made = bedside("backup", "--settings", str(gateway), "--out", str(archive))
    assert made.returncode == 0 and "release (release)" in made.stdout and f"bedside restore {archive}" in made.stdout
    done = bedside("restore", str(archive), "--to", str(back))
    assert done.returncode == 0 and f"bedside serve --settings {back / 'gateway.yaml'}" in done.stdout
    again = bedside("restore", str(archive), "--to", str(back))
    assert again.returncode == 2 and "overwrites nothing" in again.stderr and "Traceback" not in again.stderr
