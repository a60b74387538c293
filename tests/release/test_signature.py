"""Signatures over releases: what they hold against, and that nobody outside this machine is asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import ReleaseError
from bedside.release import KeyPair, check_release, key_pair, sign_release, signed_by
from bedside.release.keys import make_keys, private_fingerprint, public_fingerprint
from fixtures_release import flip, make_release, write_manifest

pytest.importorskip("model_signing", reason="pip install 'bedside[sign]'")


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    pair = key_pair(tmp_path / "keys")
    make_keys(pair.private, pair.public)
    return pair


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make_release(tmp_path / "release")


@pytest.fixture
def signed(release: Path, keys: KeyPair) -> Path:
    sign_release(release, keys.private)
    return release


def test_a_key_is_for_its_owner_only_and_never_overwritten(keys: KeyPair) -> None:
    assert keys.private.stat().st_mode & 0o777 == 0o600
    assert private_fingerprint(keys.private) == public_fingerprint(keys.public)
    before = keys.private.read_bytes()
    with pytest.raises(ReleaseError, match="there already"):
        make_keys(keys.private, keys.public)
    assert keys.private.read_bytes() == before


def test_a_signed_release_is_whole_under_any_name_and_can_be_signed_again(signed: Path, keys: KeyPair, tmp_path: Path) -> None:
    signer = public_fingerprint(keys.public)
    assert check_release(signed, keys.public).signer == signed_by(signed) == signer
    moved = signed.rename(tmp_path / "elsewhere")
    assert sign_release(moved, keys.private) == signer
    assert check_release(moved, keys.public).signer == signer


@pytest.mark.slow
def test_openssf_s_own_command_accepts_the_signature(signed: Path, keys: KeyPair) -> None:
    given = ["verify", "key", str(signed), "--signature", str(signed / "model.sig"), "--public_key", str(keys.public)]
    done = subprocess.run([sys.executable, "-m", "model_signing", *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    flip(signed / "model.gguf")
    assert subprocess.run([sys.executable, "-m", "model_signing", *given], capture_output=True).returncode != 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["model.gguf", "README.md", "contract.json", "manifest.json"]), share=st.floats(0, 0.999))
def test_no_byte_can_be_changed(signed: Path, keys: KeyPair, name: str, share: float) -> None:
    path = signed / name
    at = int(path.stat().st_size * share)
    flip(path, at)
    try:
        with pytest.raises(ReleaseError):
            check_release(signed, keys.public)
    finally:
        flip(path, at)
    check_release(signed, keys.public)


def test_the_changed_file_is_named(signed: Path, keys: KeyPair) -> None:
    flip(signed / "model.gguf", 5000)
    with pytest.raises(ReleaseError, match=r"model\.gguf' was changed"):
        check_release(signed, keys.public)


@pytest.mark.parametrize("name", ["extra.bin", ".gitignore", ".git/config", "sub/folder/file"])
def test_no_file_can_be_added_not_even_where_git_keeps_its_own(signed: Path, keys: KeyPair, name: str) -> None:
    (signed / name).parent.mkdir(parents=True, exist_ok=True)
    (signed / name).write_bytes(b"x")
    write_manifest(signed)
    with pytest.raises(ReleaseError, match="does not hold"):
        check_release(signed, keys.public)


def test_a_manifest_that_was_made_to_fit_a_changed_model_does_not_help(signed: Path, keys: KeyPair) -> None:
    flip(signed / "model.gguf")
    write_manifest(signed)
    assert check_release(signed, None).signer is None
    with pytest.raises(ReleaseError, match=r"signature .* does not hold .*model\.gguf"):
        check_release(signed, keys.public)


def test_a_link_in_place_of_a_file_is_refused(signed: Path, keys: KeyPair, tmp_path: Path) -> None:
    moved = (signed / "model.gguf").rename(tmp_path / "model.gguf")
    (signed / "model.gguf").symlink_to(moved)
    with pytest.raises(ReleaseError, match="does not hold"):
        check_release(signed, keys.public)


def test_another_s_signature_and_none_are_refused(signed: Path, keys: KeyPair, tmp_path: Path) -> None:
    other = key_pair(tmp_path / "other")
    make_keys(other.private, other.public)
    sign_release(signed, other.private)
    with pytest.raises(ReleaseError, match="was signed with key"):
        check_release(signed, keys.public)
    document = json.loads((signed / "model.sig").read_text())
    document["verificationMaterial"]["publicKey"]["hint"] = public_fingerprint(keys.public)
    (signed / "model.sig").write_text(json.dumps(document))
    with pytest.raises(ReleaseError, match="does not hold"):
        check_release(signed, keys.public)
    (signed / "model.sig").unlink()
    with pytest.raises(ReleaseError, match="is not signed"):
        check_release(signed, keys.public)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps)))
def test_whatever_stands_in_a_signature_is_refused_with_a_reason(signed: Path, keys: KeyPair, content: bytes | str) -> None:
    (signed / "model.sig").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReleaseError):
        check_release(signed, keys.public)


def test_a_huge_signature_is_not_read(signed: Path, keys: KeyPair) -> None:
    with (signed / "model.sig").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ReleaseError, match="larger than a signature"):
        check_release(signed, keys.public)


def test_a_key_that_is_unfit_is_refused(release: Path, keys: KeyPair, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="there is no signing key"):
        sign_release(release, tmp_path / "none.key")
    with pytest.raises(ReleaseError, match="is no private key"):
        (tmp_path / "text.key").write_text("no key")
        (tmp_path / "text.key").chmod(0o600)
        sign_release(release, tmp_path / "text.key")
    keys.private.chmod(0o644)
    with pytest.raises(ReleaseError, match="can be read by others"):
        sign_release(release, keys.private)
    inside = keys.private.rename(release / "my.key")
    with pytest.raises(ReleaseError, match="inside the release"):
        sign_release(release, inside)


def test_a_damaged_release_is_not_signed(release: Path, keys: KeyPair) -> None:
    flip(release / "model.gguf")
    with pytest.raises(ReleaseError, match="was changed"):
        sign_release(release, keys.private)
    assert not (release / "model.sig").exists()


def test_nothing_opens_a_connection(release: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    sign_release(release, keys.private)
    check_release(release, keys.public)


@pytest.mark.slow
def test_a_release_of_150_megabytes_is_checked_in_two_seconds(tmp_path: Path, keys: KeyPair) -> None:
    release = make_release(tmp_path / "large", 150_000_000)
    sign_release(release, keys.private)
    start = time.perf_counter()
    check_release(release, keys.public)
    assert time.perf_counter() - start < 2
