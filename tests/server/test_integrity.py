"""Releases under watch: a changed byte stops the models, says which file, and is in the audit log."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bedside.release import KeyPair, key_pair, sign_release
from bedside.release.keys import make_keys
from bedside.server import integrity
from bedside.server.integrity import Integrity
from bedside.server.problems import ProblemError
from bedside.server.settings import EngineSettings, GatewaySettings, IntegritySettings
from bedside.workspace.audit import AuditLog
from fixtures_gateway import ASK, NAME, Process, problem
from fixtures_release import flip, make_release, write_manifest


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    pair = key_pair(tmp_path / "keys")
    make_keys(pair.private, pair.public)
    return pair


@pytest.fixture
def release(tmp_path: Path, keys: KeyPair) -> Path:
    folder = make_release(tmp_path / "release")
    sign_release(folder, keys.private)
    return folder


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit")


def settings_for(release: Path, public_key: Path | None) -> GatewaySettings:
    engine = EngineSettings(name="clinic-line", release=release)
    return GatewaySettings(engines=(engine,), integrity=IntegritySettings(public_key=public_key))


def outcomes(audit: AuditLog) -> list[tuple[bool, str]]:
    return [(entry.data["ok"], entry.data["problem"]) for entry in audit.entries(kind="release.verified")]


def test_a_signed_release_is_served_and_its_check_is_logged(release: Path, keys: KeyPair, audit: AuditLog) -> None:
    watched = Integrity(settings_for(release, keys.public), audit)
    watched.require()
    (state,) = watched.states
    assert state.engine == "clinic-line" and state.problem is None and state.signer
    assert outcomes(audit) == [(True, "")]


@pytest.mark.parametrize("signed", [True, False], ids=["with the owner's key", "without a key"])
def test_a_changed_byte_stops_the_models_and_names_the_file(release: Path, keys: KeyPair, audit: AuditLog, signed: bool) -> None:
    watched = Integrity(settings_for(release, keys.public if signed else None), audit)
    flip(release / "model.gguf", 7000)
    watched.check()
    with pytest.raises(ProblemError) as refused:
        watched.require()
    assert (refused.value.status, refused.value.code) == (503, "release_changed")
    assert "'model.gguf' was changed" in refused.value.document["detail"]
    assert str(release) not in refused.value.document["detail"]
    assert [ok for ok, _ in outcomes(audit)] == [True, False]
    assert "model.gguf" in outcomes(audit)[1][1]


def test_a_release_that_was_changed_while_the_gateway_was_off_is_never_served(release: Path, audit: AuditLog) -> None:
    flip(release / "contract.json", 30)
    with pytest.raises(ProblemError, match=r"contract\.json"):
        Integrity(settings_for(release, None), audit).require()


def test_with_a_key_an_unsigned_release_is_not_served_and_without_one_it_is(
    release: Path, keys: KeyPair, audit: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    (release / "model.sig").unlink()
    with pytest.raises(ProblemError, match="is not signed"):
        Integrity(settings_for(release, keys.public), audit).require()
    Integrity(settings_for(release, None), audit).require()
    assert "nobody's signature was checked" in caplog.text


def test_what_was_stopped_stays_stopped_until_a_restart(release: Path, keys: KeyPair, audit: AuditLog) -> None:
    settings = settings_for(release, keys.public)
    watched = Integrity(settings, audit)
    flip(release / "model.gguf")
    watched.check()
    flip(release / "model.gguf")
    watched.check()
    with pytest.raises(ProblemError):
        watched.require()
    Integrity(settings, audit).require()


def test_another_release_in_its_place_waits_for_a_restart(release: Path, keys: KeyPair, audit: AuditLog) -> None:
    watched = Integrity(settings_for(release, keys.public), audit)
    (release / "README.md").write_text("# another\n")
    write_manifest(release)
    sign_release(release, keys.private)
    watched.check()
    with pytest.raises(ProblemError, match="was replaced while the gateway was running"):
        watched.require()


def test_a_release_that_is_gone_is_a_problem_and_no_crash(release: Path, keys: KeyPair, audit: AuditLog, tmp_path: Path) -> None:
    watched = Integrity(settings_for(release, keys.public), audit)
    release.rename(tmp_path / "away")
    watched.check()
    with pytest.raises(ProblemError, match="cannot be read"):
        watched.require()


def test_a_change_is_seen_long_before_the_next_daily_check(
    release: Path, keys: KeyPair, audit: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "LOOK_SECONDS", 0.02)
    watched = Integrity(settings_for(release, keys.public), audit)

    async def changed_meanwhile() -> None:
        watching = asyncio.create_task(watched.watch())
        await asyncio.sleep(0.1)
        assert len(outcomes(audit)) == 1, "nothing changed, so nothing is read again"
        flip(release / "model.gguf", 1)
        await asyncio.wait_for(watching, 5)

    asyncio.run(changed_meanwhile())
    with pytest.raises(ProblemError):
        watched.require()


@pytest.mark.slow
def test_a_gateway_over_a_changed_release_answers_by_its_rules_and_by_no_model(
    base_release: Path, keys: KeyPair, start: Callable[..., Process], tmp_path: Path
) -> None:
    release = shutil.copytree(base_release, tmp_path / NAME)
    sign_release(release, keys.private)
    (tmp_path / "gateway.yaml").write_text(
        f"listen: {{port: 0}}\n"
        f"engines: [{{name: {NAME}, release: {release}}}]\n"
        f"integrity: {{public_key: {keys.public}}}\n"
        f"security: {{require_keys: false, console: false}}\n"
    )
    whole = start("--settings", str(tmp_path / "gateway.yaml"))
    assert whole.post("/v1/chat/completions", ASK).status_code == 200
    whole.stop()
    flip(release / "model.gguf", -1)
    changed = start("--settings", str(tmp_path / "gateway.yaml"))
    assert "'model.gguf' was changed" in problem(changed.post("/v1/chat/completions", ASK), 503, "release_changed")["detail"]
    assert changed.post("/v1/triage", {"text": "crushing pain in my chest"}).json()["disposition"] == "E000"
    changed.stop()
    assert [ok for ok, _ in outcomes(AuditLog(tmp_path / "gateway-state" / "audit"))] == [True, False]
