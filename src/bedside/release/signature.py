"""The owner's signature over a release: OpenSSF Model Signing v1.0 (https://github.com/sigstore/model-transparency) with a key of their own.

    ~/.config/bedside/release-signing.key    private; stays with the owner, never inside a release
    ~/.config/bedside/release-signing.pub    public; whoever serves or checks releases gets it by another way than the releases
    RELEASE/model.sig                        Sigstore bundle: an in-toto statement with the SHA-256 of every other file, and its signature

Made and checked without any service: what is trusted is the public key alone. `BEDSIDE_KEYS` names another folder for the keys.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple

from bedside.errors import ReleaseError
from bedside.release.build import MANIFEST, SIGNATURE, Release, load_release, verify_release
from bedside.workspace.files import sha256_file, written_whole

_LARGEST_SIGNATURE = 16 << 20
"""Bytes. A signature holds a line for each file of a release, so it is far smaller."""
_SUSPECT = "Copy the signed release again, and find out who changed this one"


class KeyPair(NamedTuple):
    """Where the two halves of a signing key lie."""

    private: Path
    public: Path


@dataclass(frozen=True, slots=True)
class Checked:
    """A release of which every byte was checked.

    Attributes:
        release: as it was loaded.
        signer: fingerprint of the key whose signature over it is valid; None where no key was given to check one with.
    """

    release: Release
    signer: str | None


def key_pair(folder: Path | None = None) -> KeyPair:
    """Where the owner's keys are, or would be: in that folder, in `BEDSIDE_KEYS`, or in ~/.config/bedside."""
    place = folder or Path(os.environ.get("BEDSIDE_KEYS") or Path.home() / ".config" / "bedside")
    return KeyPair(place / "release-signing.key", place / "release-signing.pub")


def sign_release(folder: Path, private_key: Path) -> str:
    """Check every byte of a release against its manifest, then sign it; an older signature is replaced.

    Returns:
        Fingerprint of the key.

    Raises:
        ReleaseError: the release is not whole, or the key is missing, readable for others, inside the release or no ECDSA key.
        WorkspaceError: the folder cannot be written.
    """
    if private_key.resolve().is_relative_to(folder.resolve()):
        problem = f"the private key {str(private_key)!r} lies inside the release"
        raise ReleaseError(problem, "Move it out, and make a new key if the release was given away")
    use = _libraries()
    signer: str = use.keys.private_fingerprint(private_key)
    verify_release(folder)
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / SIGNATURE
        use.signing.Config().set_hashing_config(use.every_file()).use_elliptic_key_signer(private_key=private_key).sign(folder, made)
        with written_whole(folder / SIGNATURE) as partial:
            partial.write_bytes(made.read_bytes())
    return signer


def signed_by(folder: Path) -> str | None:
    """Fingerprint of the key that a release's signature names, which is not checked here; None: there is no signature.

    Raises:
        ReleaseError: the signature is damaged.
    """
    path = folder / SIGNATURE
    try:
        size = path.stat().st_size
        if size > _LARGEST_SIGNATURE:
            raise ReleaseError(f"{str(path)!r} is larger than a signature can be ({size:,} bytes)", _SUSPECT)
        return str(json.loads(path.read_bytes())["verificationMaterial"]["publicKey"]["hint"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReleaseError(f"the signature {str(path)!r} is damaged ({type(error).__name__})", _SUSPECT) from error


def check_release(folder: Path, public_key: Path | None) -> Checked:
    """Check every byte of a release: with a key against the owner's signature, without one against its manifest alone.

    Raises:
        ReleaseError: names the first file that is missing, extra or changed, or what is wrong with the signature.
    """
    if public_key is None:
        return Checked(verify_release(folder), None)
    use = _libraries()
    expected, named, release = use.keys.public_fingerprint(public_key), signed_by(folder), load_release(folder)
    if named is None:
        raise ReleaseError(f"the release {str(folder)!r} is not signed", "Copy the signed release, or sign it with `bedside release sign`")
    if named != expected:
        problem = f"the release {str(folder)!r} was signed with key {named[:16]!r}, not with {expected[:16]} of {str(public_key)!r}"
        raise ReleaseError(problem, "Find out who signed it before you trust it")
    verifier = use.verifying.Config().set_hashing_config(use.every_file()).use_elliptic_key_verifier(public_key=public_key)
    try:
        verifier.verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library raises whatever its parsers raise; each of them means that the signature does not hold
        found = verify_release(folder)  # names the file in the usual case; what passes here was changed together with its manifest
        said = " ".join(f"{type(error).__name__} {error}".split())[:200]
        if str(error).startswith("Signature mismatch"):
            said = f"not what was signed: {', '.join(_differing(found))}"
        raise ReleaseError(f"the signature of {str(folder)!r} does not hold ({said})", _SUSPECT) from error
    return Checked(release, expected)


def _differing(release: Release) -> list[str]:
    """Files that are not what the signature, found well formed and by the right key, says of them."""
    signature = json.loads((release.folder / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(signature["dsseEnvelope"]["payload"]))
    signed = {one["name"]: one["digest"] for one in statement["predicate"]["resources"]}
    now = {file: entry.sha256 for file, entry in release.manifest.files.items()} | {MANIFEST: sha256_file(release.folder / MANIFEST)}
    return sorted(name for name in signed.keys() | now.keys() if signed.get(name) != now.get(name))


class _Libraries(NamedTuple):
    """What only who signs, or has a key to check with, needs installed."""

    signing: ModuleType
    verifying: ModuleType
    hashing: ModuleType
    keys: ModuleType

    def every_file(self) -> Any:
        """All files but the signature itself; left to itself the library passes over those of Git, and anything could be put there."""
        return self.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _libraries() -> _Libraries:
    try:
        from model_signing import hashing, signing, verifying

        from bedside.release import keys
    except ImportError as error:
        raise ReleaseError(f"signatures need the package model-signing ({error})", "Type `pip install 'bedside[sign]'`") from error
    return _Libraries(signing, verifying, hashing, keys)
