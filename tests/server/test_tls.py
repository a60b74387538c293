"""Certificates of the clinic's own authority, and TLS 1.3 alone."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bedside.cli import app
from bedside.server import tls
from bedside.server.tls import TlsError, issue, make_ca, read_certificate, server_context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    make_ca(made, "Wattle Street Practice", ["gateway.example.org"])
    issue(made, ["gateway.lan", "localhost", "127.0.0.1"])
    return made


@contextmanager
def speaking(context: ssl.SSLContext) -> Iterator[int]:
    """A port on which somebody greets whoever speaks TLS with them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                with raw:
                    try:
                        with context.wrap_socket(raw, server_side=True) as talk:
                            talk.sendall(b"hello")
                    except (OSError, ssl.SSLError):
                        continue

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def greeting(port: int, authority: Path, name: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
    """What a careful client hears, and by which version."""
    context = ssl.create_default_context(cafile=authority)
    context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 5) as raw, context.wrap_socket(raw, server_hostname=name) as talk:
        return f"{talk.recv(5).decode()} by {talk.version()}"


def test_a_client_that_believes_the_authority_speaks_tls_1_3_with_the_gateway(folder: Path) -> None:
    with speaking(server_context(folder / "gateway.lan.pem", folder / "gateway.lan.key")) as port:
        for name in ("gateway.lan", "127.0.0.1"):
            assert greeting(port, folder / "ca.pem", name) == "hello by TLSv1.3"
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            greeting(port, folder / "ca.pem", "other.lan")
    only = issue(folder, ["127.0.0.1"]).path
    with speaking(server_context(only, only.with_suffix(".key"))) as port:
        assert greeting(port, folder / "ca.pem", "127.0.0.1") == "hello by TLSv1.3", "a certificate for an address alone"


def test_tls_1_2_is_refused(folder: Path) -> None:
    with speaking(server_context(folder / "gateway.lan.pem", folder / "gateway.lan.key")) as port, pytest.raises((ssl.SSLError, OSError)):
        greeting(port, folder / "ca.pem", "gateway.lan", ssl.TLSVersion.TLSv1_2)


def test_a_stolen_authority_cannot_vouch_for_other_sites(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TlsError, match=r"may not vouch for 'bank\.example'"):
        issue(folder, ["bank.example"])
    with pytest.raises(TlsError, match=r"may not vouch for '198\.51\.100\.1'"):
        issue(folder, ["198.51.100.1"])
    stolen = tmp_path / "stolen"
    shutil.copytree(folder, stolen)
    monkeypatch.setattr(tls, "_check_allowed", lambda *_: None)  # a thief does not ask
    issue(stolen, ["bank.example"])
    context = server_context(stolen / "bank.example.pem", stolen / "bank.example.key")
    with speaking(context) as port, pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        greeting(port, folder / "ca.pem", "bank.example")


def test_names_below_a_domain_that_was_named(folder: Path) -> None:
    assert issue(folder, ["a.gateway.example.org"]).names == ("a.gateway.example.org",)
    with pytest.raises(TlsError, match="may not vouch"):
        issue(folder, ["agateway.example.org"])


def test_openssl_finds_the_chain_good(folder: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not on PATH: apt-get install openssl")
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", folder / "ca.pem", folder / "gateway.lan.pem"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.endswith("OK\n")


def test_keys_are_for_their_owner_only_and_an_authority_is_made_once(folder: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in folder.glob("*.key")} == {0}
    before = (folder / "ca.key").read_bytes()
    with pytest.raises(TlsError, match="holds an authority already"):
        make_ca(folder, "Again")
    assert (folder / "ca.key").read_bytes() == before


def test_the_authority_is_not_written_over_by_a_certificate(tmp_path: Path) -> None:
    make_ca(tmp_path, "x", ["ca"])
    with pytest.raises(TlsError, match="cannot be the first name"):
        issue(tmp_path, ["CA"])
    assert issue(tmp_path, ["gateway.lan", "ca"]).names == ("gateway.lan", "ca")


def test_what_a_certificate_says(folder: Path) -> None:
    made = read_certificate(folder / "gateway.lan.pem")
    assert (made.subject, made.issuer) == ("bedside gateway", "Wattle Street Practice")
    assert made.names == ("gateway.lan", "localhost", "127.0.0.1")
    assert dt.timedelta(days=397) == made.ends - made.begins
    loaded = x509.load_pem_x509_certificate(made.path.read_bytes())
    assert made.fingerprint == loaded.fingerprint(hashes.SHA256()).hex()


def test_a_certificate_that_ran_out_and_a_key_of_another_are_named(folder: Path, tmp_path: Path) -> None:
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=40)
    make_ca(tmp_path, "x", now=lambda: old)
    issue(tmp_path, ["old.lan"], days=30, now=lambda: old)
    with pytest.raises(TlsError, match="ran out on"):
        server_context(tmp_path / "old.lan.pem", tmp_path / "old.lan.key")
    with pytest.raises(TlsError, match="cannot be used with"):
        server_context(folder / "gateway.lan.pem", folder / "ca.key")
    with pytest.raises(TlsError, match="398 days is no term"):
        issue(folder, ["gateway.lan"], days=398)


@pytest.mark.parametrize(
    "broken", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 1000, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_damaged_files_are_named(folder: Path, tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(broken)
    with pytest.raises(TlsError, match=r"ca\.pem"):
        issue(tmp_path, ["gateway.lan"])
    shutil.copy(folder / "ca.pem", tmp_path / "ca.pem")
    (tmp_path / "ca.key").write_bytes(broken)
    with pytest.raises(TlsError, match=r"ca\.key"):
        issue(tmp_path, ["gateway.lan"])


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9.:-]{1,30}", fullmatch=True))
def test_any_name_is_a_certificate_or_a_clear_refusal(folder: Path, name: str) -> None:
    try:
        made = issue(folder, [name])
    except TlsError as error:
        assert error.next_step
    else:
        assert made.path.parent == folder and made.path.name != "ca.pem"


def test_certificates_by_the_command_line(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["tls", "init", "--name", "Wattle Street", "--folder", str(tmp_path)])
    assert made.exit_code == 0 and "bedside tls issue" in made.stderr
    issued = CliRunner().invoke(app, ["tls", "issue", "gateway.lan", "192.168.1.10", "--folder", str(tmp_path)])
    assert "192.168.1.10" in issued.stdout and f"key: {tmp_path}/gateway.lan.key" in issued.stderr.replace("\n", "")
    assert "SHA-256" in CliRunner().invoke(app, ["tls", "show", str(tmp_path / "ca.pem")]).stdout
