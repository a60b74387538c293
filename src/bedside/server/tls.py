"""TLS for a clinic's own network: a certificate authority in a folder, certificates for the gateway, and TLS 1.3 alone.

    ca.pem       the authority's certificate: installed on the clinic's computers, so that they believe the gateway
    ca.key       its private key, readable for its owner only; best kept elsewhere after the certificates are made
    NAME.pem     a certificate for the names and addresses that were asked for
    NAME.key     its private key, readable for its owner only

The authority can vouch for names of the clinic's network only (critical name constraints, RFC 5280 §4.2.1.10): whoever steals its key cannot
pretend to be a bank. Keys are on the curve P-256, signatures ECDSA with SHA-256.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bedside.errors import BedsideError
from bedside.workspace.files import disk_errors, written_whole

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
"""Browsers refuse server certificates that last longer (CA/Browser Forum, Baseline Requirements 6.3.2)."""
PRIVATE_NAMES = ("localhost", "internal", "local", "lan", "home.arpa")
"""Endings of names that no public authority vouches for: RFC 6761, RFC 6762, RFC 8375, and ICANN's `internal` of 2024."""
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10")
"""Networks of RFC 1918, RFC 4193, and of one machine or cable."""

_AUTHORITY = "ca"
_SERVER = "bedside gateway"
"""Subject of certificates: a common name that reads like a host would be held against the authority's constraints (RFC 6125 §6.4.4)."""
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_LONGEST_NAME = 64
_BEFORE = dt.timedelta(hours=1)
"""How far in the past certificates begin: clocks of a clinic's computers differ."""

PrivateKey = ec.EllipticCurvePrivateKey
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TlsError(BedsideError):
    """A certificate or its key cannot be made or used."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says.

    Attributes:
        names: host names and addresses that it is for; of an authority, those that it may vouch for.
        fingerprint: SHA-256 of the certificate, in hex, as browsers show it.
    """

    path: Path
    subject: str
    issuer: str
    names: tuple[str, ...]
    begins: dt.datetime
    ends: dt.datetime
    fingerprint: str


def make_ca(
    folder: Path, name: str, domains: Sequence[str] = (), now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
) -> Certificate:
    """Make a certificate authority in `folder`, which must not hold one.

    Args:
        name: whose authority it is, such as the practice's name; browsers show it.
        domains: host names, with all below them, that it may vouch for beside `PRIVATE_NAMES` and `PRIVATE_NETWORKS`.

    Raises:
        TlsError: there is one already, or a name that is none.
        WorkspaceError: the folder cannot be written.
    """
    if (folder / f"{_AUTHORITY}.key").exists() or (folder / f"{_AUTHORITY}.pem").exists():
        raise TlsError(f"{str(folder)!r} holds an authority already", "Use it with `bedside tls issue`, or give another --folder")
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise TlsError(f"{name[:64]!r} is no name for an authority", f"Give 1 to {_LONGEST_NAME} printable characters")
    key, subject = ec.generate_private_key(ec.SECP256R1()), _called(name)
    allowed = [x509.DNSName(domain) for domain in (*PRIVATE_NAMES, *map(_host_name, domains))]
    networks = [x509.IPAddress(ipaddress.ip_network(network)) for network in PRIVATE_NETWORKS]
    builder = (
        _builder(subject, subject, key, AUTHORITY_DAYS, now())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints([*allowed, *networks], None), critical=True)
    )
    return _write(folder, _AUTHORITY, key, builder.sign(key, hashes.SHA256()))


def issue(
    folder: Path, names: Sequence[str], days: int = CERTIFICATE_DAYS, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
) -> Certificate:
    """Make a certificate and key for a server, signed by the authority in `folder`; one of the same first name is replaced.

    Args:
        names: host names and addresses by which browsers reach the server.
        days: how long it lasts.

    Raises:
        TlsError: no authority is there, a name is none or not one that the authority may vouch for, or it lasts too long.
        WorkspaceError: the folder cannot be written.
    """
    authority, authority_key = _authority(folder)
    at = now()
    if not names:
        raise TlsError("a certificate needs a name", "Give the host name or the address that browsers will use")
    if not 1 <= days <= CERTIFICATE_DAYS or at + dt.timedelta(days=days) > authority.not_valid_after_utc:
        ends = f"the authority ends on {authority.not_valid_after_utc:%Y-%m-%d}"
        raise TlsError(f"{days} days is no term for a certificate", f"Give 1 to {CERTIFICATE_DAYS}; {ends}")
    wanted = [_general_name(name) for name in names]
    _check_allowed(authority, wanted)
    stem = re.sub(r"[^a-z0-9.-]", "_", names[0].lower())
    if stem == _AUTHORITY:
        raise TlsError(
            f"{stem!r} cannot be the first name", "Its files would take the place of the authority's; give another name before it"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_called(_SERVER), authority.subject, key, days, at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(_identifier_of(authority), critical=False)
    )
    return _write(folder, stem, key, builder.sign(authority_key, hashes.SHA256()))


def read_certificate(path: Path) -> Certificate:
    """What the first certificate of a PEM file says.

    Raises:
        TlsError: the file is missing or holds no certificate.
    """
    return _described(path, _loaded(path))


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """How the gateway speaks TLS: version 1.3 only, whose cipher suites are all sound.

    Raises:
        TlsError: a file is missing or no PEM, the two do not belong together, or the certificate has run out.
    """
    ends = read_certificate(certificate).ends
    if ends <= dt.datetime.now(dt.UTC):
        raise TlsError(f"the certificate {str(certificate)!r} ran out on {ends:%Y-%m-%d}", "Make a new one with `bedside tls issue`")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        problem = f"the key {str(key)!r} cannot be used with {str(certificate)!r} ({error.strerror or error})"
        raise TlsError(problem, "Name the key that was made with that certificate") from error
    return context


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey, days: int, at: dt.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _BEFORE)
        .not_valid_after(at - _BEFORE + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(**used: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in every})


def _identifier_of(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _host_name(name: str) -> str:
    lower = name.lower()
    if not _HOST_NAME.fullmatch(lower):
        raise TlsError(f"{name[:64]!r} is no host name", "Give a name such as gateway.lan, or an address such as 192.168.1.10")
    return lower


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(_host_name(name))


def _check_allowed(authority: x509.Certificate, names: Sequence[x509.GeneralName]) -> None:
    allowed = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    for name in names:
        if not any(_covers(subtree.value, name.value) for subtree in allowed):
            listed = ", ".join(str(subtree.value) for subtree in allowed)
            raise TlsError(
                f"the authority may not vouch for {str(name.value)!r}, only for {listed} and what is below or within them",
                "Make one with `bedside tls init --domain` for that name",
            )


def _covers(subtree: Any, name: Any) -> bool:
    """Whether a subtree of names or a network holds a name or an address."""
    if isinstance(subtree, str) or isinstance(name, str):
        return isinstance(subtree, str) and isinstance(name, str) and (name == subtree or name.endswith(f".{subtree}"))
    return name in subtree


def _authority(folder: Path) -> tuple[x509.Certificate, PrivateKey]:
    certificate = _loaded(folder / f"{_AUTHORITY}.pem")
    path = folder / f"{_AUTHORITY}.key"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise TlsError(f"the authority's key {str(path)!r} cannot be read ({error})", "Put the key of `bedside tls init` there") from error
    if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
        raise TlsError(f"{str(path)!r} is not the key of {_AUTHORITY}.pem", "Put the two files of one `bedside tls init` there")
    return certificate, key


def _loaded(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError as error:
        raise TlsError(f"there is no certificate {str(path)!r}", "Make one with `bedside tls init`, then `bedside tls issue`") from error
    except (OSError, ValueError) as error:
        raise TlsError(f"{str(path)!r} holds no certificate that can be read ({error})", "Give a PEM file") from error


def _write(folder: Path, name: str, key: PrivateKey, certificate: x509.Certificate) -> Certificate:
    """Write key and certificate; the key first, so that no certificate is there without one."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with written_whole(folder / f"{name}.key") as partial:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secret)
    path = folder / f"{name}.pem"
    with written_whole(path) as partial:
        partial.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return _described(path, certificate)


def _described(path: Path, certificate: x509.Certificate) -> Certificate:
    return Certificate(
        path,
        _common_name(certificate.subject),
        _common_name(certificate.issuer),
        tuple(_names(certificate)),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> Iterator[str]:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from (str(name.value) for name in extension.value)
        elif isinstance(extension.value, x509.NameConstraints):
            yield from (str(name.value) for name in extension.value.permitted_subtrees or [])
