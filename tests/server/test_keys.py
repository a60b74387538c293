"""API keys: made, checked, rotated, revoked, guessed, and how often they may ask."""

# ruff: noqa: F401, F811  fixtures are found by the names under which they are imported

from __future__ import annotations

import asyncio
import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select, text
from typer.testing import CliRunner

from bedside.cli import app
from bedside.server.attempts import Attempts, Patience, RateLimits, TooManyAttemptsError, address_subject
from bedside.server.database import Database, keys
from bedside.server.keys import FRESH_SECONDS, KeysError, KeyStore, Scope
from bedside.workspace.audit import AuditLog
from fixtures_security import Clock, audit, clock, db

_ANY_DB = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def store(db: Database, audit: AuditLog, clock: Clock) -> KeyStore:
    return KeyStore(db, audit, clock)


def test_a_key_works_until_it_expires_and_is_written_down_nowhere(
    store: KeyStore,
    db: Database,
    clock: Clock,
    tmp_path: Path,
) -> None:
    info, secret = store.create("booking page", ["triage"], 60, clock() + dt.timedelta(days=1), "test")
    found = store.check(secret)
    assert found is not None and found.id == info.id and found.allows(Scope.triage) and not found.allows(Scope.chat)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in kept and secret.rpartition("_")[2].encode() not in kept
    with db.reading() as connection:
        assert str(connection.scalar(select(keys.c.hash))).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    clock.tick(days=1)
    assert store.remembered(secret) is None and store.check(secret) is None


def test_a_key_that_was_checked_costs_less_than_a_tenth_of_a_millisecond(store: KeyStore) -> None:
    _, secret = store.create("k", ["chat"], 1_000_000, None, "test")
    store.check(secret)
    rounds = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(50):
            assert store.remembered(secret)
        rounds.append((time.perf_counter() - start) / 50)
    assert sorted(rounds)[10] < 1e-4


def test_another_secret_of_the_same_key_is_refused(store: KeyStore) -> None:
    _, secret = store.create("k", ["chat"], None, None, "test")
    assert store.check(secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None


@_ANY_DB
@given(guess=st.text(max_size=80) | st.text("0123456789abcdef", min_size=12, max_size=12).map(lambda id: f"bedside_{id}_{'A' * 43}"))
def test_nothing_else_is_a_key(store: KeyStore, guess: str) -> None:
    assert store.check(guess) is None and store.remembered(guess) is None


@pytest.mark.slow
def test_a_key_revoked_by_another_gateway_is_refused_within_five_seconds(db: Database, audit: AuditLog) -> None:
    here, elsewhere = KeyStore(db, audit), KeyStore(db, audit)
    _, secret = here.create("k", ["chat"], None, None, "test")
    assert here.check(secret)
    elsewhere.revoke("k", "test")
    start = time.monotonic()
    while here.check(secret):
        time.sleep(0.1)
    assert time.monotonic() - start <= 5
    assert FRESH_SECONDS < 5


@pytest.mark.slow
def test_rotation_keeps_the_old_secret_for_a_while(store: KeyStore, clock: Clock, audit: AuditLog) -> None:
    old, old_secret = store.create("k", ["chat", "triage"], 30, clock() + dt.timedelta(days=100), "test")
    clock.tick(days=90)
    new, new_secret = store.rotate("k", "test", dt.timedelta(hours=2))
    assert store.check(old_secret) and store.check(new_secret)
    assert (new.scopes, new.rate_per_minute, new.expires) == (old.scopes, 30, clock() + dt.timedelta(days=100))
    clock.tick(hours=2)
    assert store.check(old_secret) is None and store.check(new_secret)
    assert store.revoke(new.id, "test") == 1 and store.check(new_secret) is None
    changes = [entry.data["change"] for entry in audit.entries(kind="key.changed")]
    assert changes == ["created", f"rotated from {old.id}", "revoked"]


@pytest.mark.slow
def test_a_name_is_revoked_with_its_successors_and_then_free(store: KeyStore) -> None:
    store.create("k", ["chat"], None, None, "test")
    store.rotate("k", "test")
    with pytest.raises(KeysError, match="there is a key 'k' already"):
        store.create("k", ["chat"], None, None, "test")
    assert store.revoke("k", "test") == 2
    with pytest.raises(KeysError, match="no key 'k' works now"):
        store.rotate("k", "test")
    assert [key.revoked is None for key in store.list()] == [False, False]


@pytest.mark.parametrize(
    ("name", "scopes", "rate", "days", "problem"),
    [
        ("", ["chat"], None, 1, "is no name"),
        ("a\0b", ["chat"], None, 1, "is no name"),
        ("<script>", ["chat"], None, 1, "is no name"),
        ("x" * 65, ["chat"], None, 1, "is no name"),
        ("k", [], None, 1, "has no scopes"),
        ("k", ["chat", "everything"], None, 1, "no scope 'everything'"),
        ("k", ["chat"], 0, 1, "0 requests a minute"),
        ("k", ["chat"], 10**9, 1, "is no rate"),
        ("k", ["chat"], None, -1, "which is past"),
    ],
)
def test_what_is_no_key_is_not_made(
    store: KeyStore,
    clock: Clock,
    name: str,
    scopes: list[str],
    rate: int | None,
    days: int,
    problem: str,
) -> None:
    with pytest.raises(KeysError, match=problem):
        store.create(name, scopes, rate, clock() + dt.timedelta(days=days), "test")
    assert not store.list()


@pytest.mark.parametrize("which", ["", "nobody", "a\0b", "'; DROP TABLE api_key; --", "\ud800"])
def test_a_key_that_is_not_there_is_named(store: KeyStore, which: str) -> None:
    with pytest.raises(KeysError, match="works now"):
        store.revoke(which, "test")


def test_an_address_that_guesses_has_to_wait_longer_and_longer(store: KeyStore, clock: Clock, audit: AuditLog) -> None:
    guess = f"bedside_{'0' * 12}_{'A' * 43}"
    for _ in range(20):
        assert store.guess(guess, "192.0.2.7") is None
    waits = []
    for _ in range(3):
        with pytest.raises(TooManyAttemptsError) as refused:
            store.guess(guess, "192.0.2.7")
        waits.append(refused.value.wait)
        clock.tick(seconds=refused.value.wait)
        assert store.guess(guess, "192.0.2.7") is None
    assert waits == [1, 2, 4]
    assert store.guess(guess, "192.0.2.8") is None
    assert {entry.data["reason"] for entry in audit.entries(kind="login")} == {"no such key"}


@given(failures=st.integers(0, 10**6), free=st.integers(1, 50), longest=st.integers(1, 10_000))
def test_the_wait_grows_to_its_longest_and_never_shrinks(failures: int, free: int, longest: int) -> None:
    patience = Patience(free, longest)
    assert 0 <= patience.wait(failures) <= patience.wait(failures + 1) <= longest
    assert (patience.wait(failures) == 0) == (failures < free)


def test_failures_are_forgiven_after_an_hour(db: Database, clock: Clock) -> None:
    attempts, rule = Attempts(db, clock), {"x": Patience(1, 900)}
    for _ in range(4):
        attempts.begin(rule)
        clock.tick(seconds=900)
    assert attempts.wait("x") == 0
    clock.tick(hours=1)
    attempts.begin(rule)
    assert attempts.wait("x") == 1


def test_many_guesses_at_once_are_no_more_than_in_a_row(db: Database, clock: Clock) -> None:
    attempts = Attempts(db, clock)

    async def guess() -> bool:
        try:
            await asyncio.to_thread(attempts.begin, {"x": Patience(5, 900)})
        except TooManyAttemptsError:
            return False
        return True

    async def at_once() -> list[bool]:
        return await asyncio.gather(*(guess() for _ in range(12)))

    assert sum(asyncio.run(at_once())) == 5


def test_one_machine_has_a_network_of_ipv6_to_itself() -> None:
    assert address_subject("2001:db8::1") == address_subject("2001:db8::ffff") != address_subject("2001:db8:0:1::1")
    assert address_subject("192.0.2.1") != address_subject("192.0.2.2")
    assert len(address_subject("x" * 1000)) < 100


class Seconds:
    """A clock in seconds for rates."""

    def __init__(self) -> None:
        self.at = 60 * 1_000_000.0

    def __call__(self) -> float:
        return self.at


@_ANY_DB
@given(rate=st.integers(1, 40), gaps=st.lists(st.floats(0, 20), max_size=120))
def test_a_rate_holds_in_each_minute_and_the_wait_that_is_told_is_enough(db: Database, rate: int, gaps: list[float]) -> None:
    now = Seconds()
    limits, subject = RateLimits(db, now), uuid4().hex

    async def ask() -> None:
        admitted: dict[int, int] = {}
        for gap in gaps:
            now.at += gap
            wait = limits.admit(subject, rate)
            if wait:
                assert wait <= 120
                now.at += wait
                assert limits.admit(subject, rate) == 0
            minute = int(now.at // 60)
            admitted[minute] = admitted.get(minute, 0) + 1
        assert max(admitted.values(), default=0) <= rate

    asyncio.run(ask())


def test_a_rate_holds_across_gateways_that_share_a_database(db: Database) -> None:
    now = Seconds()
    gateways = [RateLimits(db, now) for _ in range(3)]

    async def ask() -> int:
        admitted = 0
        for _ in range(25):
            now.at += 2
            for gateway in gateways:
                admitted += gateway.admit("k", 30) == 0
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))  # the gateways tell each other
        return admitted

    admitted = asyncio.run(ask())
    assert 30 <= admitted <= 36


@pytest.mark.slow
def test_gateways_may_start_at_once_on_an_empty_database(postgres: str) -> None:
    server = create_engine(postgres, isolation_level="AUTOCOMMIT")
    name = f"empty_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = postgres.rpartition("/")[0] + f"/{name}"
    with ThreadPoolExecutor(6) as pool:
        for opened in pool.map(Database, [url] * 6):
            with opened.reading() as connection:
                assert connection.scalar(select(func.count()).select_from(keys)) == 0
            opened.close()
    server.dispose()


def test_keys_by_the_command_line(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.yaml"
    gateway.write_text("engines: [{name: m, kind: openai, url: 'http://127.0.0.1:9', model: m}]\n")
    at = ["--settings", str(gateway)]
    made = CliRunner().invoke(app, ["keys", "create", "page", "--scope", "triage", "--rate", "5", *at])
    secret = made.stdout.strip()
    assert made.exit_code == 0 and secret.startswith("bedside_") and "cannot be shown again" in made.stderr
    listed = CliRunner().invoke(app, ["keys", "list", *at])
    assert "page" in listed.stdout and secret not in listed.stdout
    assert CliRunner().invoke(app, ["keys", "revoke", "page", *at]).stdout.startswith("1 key revoked")
    state = tmp_path / "gateway-state"
    assert state.stat().st_mode & 0o077 == 0
    with pytest.raises(KeysError, match="no scope 'all'"):
        CliRunner().invoke(app, ["keys", "create", "k", "--scope", "all", *at], catch_exceptions=False)
