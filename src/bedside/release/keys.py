"""The owner's key pair for releases: ECDSA on P-256, PEM, as OpenSSF Model Signing takes it."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bedside.errors import ReleaseError
from bedside.workspace.files import disk_errors

_OURS = "Give the one that `bedside release key` made"


def make_keys(private: Path, public: Path) -> str:
    """Make a key pair; the private half is readable for its owner only (mode 0600).

    Returns:
        Fingerprint of the key.

    Raises:
        ReleaseError: one of the files is there already; no key is overwritten.
        WorkspaceError: the folder cannot be written.
    """
    if there := next((path for path in (private, public) if path.exists()), None):
        raise ReleaseError(f"{str(there)!r} is there already", "Use that key, or name another folder with --keys")
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with disk_errors(private.parent):
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(text)
        public.write_bytes(_pem(key.public_key()))
    return _fingerprint(key.public_key())


def private_fingerprint(private: Path) -> str:
    """Fingerprint of a key by its private half, once that is found fit to sign with.

    Raises:
        ReleaseError: it is missing, readable for others, or no private key of ECDSA.
    """
    name = repr(str(private))
    try:
        if stat.S_IMODE(private.stat().st_mode) & 0o077:
            raise ReleaseError(f"the private key {name} can be read by others", f"Type `chmod 600 {private}`")
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except FileNotFoundError as error:
        raise ReleaseError(f"there is no signing key {name}", "`bedside release key` makes one") from error
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReleaseError(f"{name} is no private key ({type(error).__name__})", _OURS) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ReleaseError(f"{name} is no private key of ECDSA", _OURS)
    return _fingerprint(key.public_key())


def public_fingerprint(public: Path) -> str:
    """Fingerprint of a key by its public half.

    Raises:
        ReleaseError: the file is missing or no public key of ECDSA.
    """
    name = repr(str(public))
    try:
        key = serialization.load_pem_public_key(public.read_bytes())
    except FileNotFoundError as error:
        raise ReleaseError(f"there is no public key {name}", "Ask the owner of the release for it, or correct the path") from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ReleaseError(f"{name} is no public key ({type(error).__name__})", _OURS) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ReleaseError(f"{name} is no public key of ECDSA", _OURS)
    return _fingerprint(key)


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the public key as PEM, in hex: by this a signature names its key."""
    return sha256(_pem(key)).hexdigest()


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
