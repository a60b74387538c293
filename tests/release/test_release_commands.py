"""`bedside release` and `bedside verify` as an owner and whoever serves the release meet them."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest_e2e import bedside

from fixtures_release import flip, make_release

pytestmark = pytest.mark.slow
pytest.importorskip("model_signing", reason="pip install 'bedside[sign]'")


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEDSIDE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_a_key_a_signature_and_a_change_that_is_found(tmp_path: Path, keys: Path) -> None:
    release = str(make_release(tmp_path / "release"))
    unsigned = bedside("verify", release)
    assert unsigned.returncode == 0 and "signature: none" in unsigned.stdout and "bill of materials: none" in unsigned.stdout
    assert bedside("release", "key").returncode == 0
    assert bedside("release", "sign", release).returncode == 0
    verified = bedside("verify", release)
    assert verified.returncode == 0 and "signature: valid" in verified.stdout
    flip(tmp_path / "release" / "model.gguf", 123)
    found = bedside("verify", release, "--public-key", str(keys / "release-signing.pub"))
    assert found.returncode == 2 and "model.gguf" in found.stderr and "Traceback" not in found.stderr


def test_a_signature_that_nobody_can_check_is_not_called_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = str(make_release(tmp_path / "release"))
    bedside("release", "key")
    bedside("release", "sign", release)
    monkeypatch.setenv("BEDSIDE_KEYS", str(tmp_path / "nowhere"))
    verified = bedside("verify", release)
    assert verified.returncode == 0 and "not checked" in verified.stdout and "valid" not in verified.stdout


def test_without_a_key_signing_says_how_to_make_one(tmp_path: Path) -> None:
    failed = bedside("release", "sign", str(make_release(tmp_path / "release")))
    assert failed.returncode == 2 and "bedside release key" in failed.stderr
