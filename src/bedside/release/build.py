"""Build a release folder from a merged model, and check one.

    model.gguf      the quantised model            contract.json   how it is asked
    Modelfile       for Ollama                     README.md       the model card
    bom.cdx.json    the bill of materials          model.sig       the owner's signature, made over the finished folder
    manifest.json   written last: name, kind, date, contract hash, and SHA-256 and size of every other file

All is made in a hidden folder beside the target, which takes the target's name only when every gate has passed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from bedside.engine.contract import FILE as CONTRACT
from bedside.engine.contract import ChatContract, ChatMessage
from bedside.errors import ReleaseError
from bedside.release.bom import BOM, bom_text
from bedside.release.card import Built, CardFacts, card_text
from bedside.release.gates import GateResult, Tokenise, check_token_parity
from bedside.release.gguf_writer import write_gguf
from bedside.release.modelfile import modelfile_text
from bedside.release.quantise import KINDS, QuantisedReport, quantise
from bedside.release.tokenizer_metadata import token_texts
from bedside.workspace.files import disk_errors, sha256_file, write_json

MODEL, MODELFILE, CARD, MANIFEST = "model.gguf", "Modelfile", "README.md", "manifest.json"
SIGNATURE = "model.sig"
"""May lie beside the manifest without being in it, because a signature is made over the finished folder."""

UNQUANTISED = "F16"
"""The kind that ships the model without quantisation."""

_AGAIN = "Copy the release again, or build it with `bedside run`"


class FileEntry(BaseModel):
    """A file of a release: SHA-256 in hex and size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What a release says of itself.

    Attributes:
        name: of the release.
        kind: quantisation.
        date: day of the build, ISO 8601.
        bedside: version that built it.
        contract: hash of its chat contract.
        files: path within the folder → entry, of every file but the manifest and a signature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: str
    date: str
    bedside: str
    contract: str
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Release:
    """A release on the disk: its folder, the model file within, its contract and its manifest."""

    folder: Path
    model: Path
    contract: ChatContract
    manifest: Manifest


@dataclass(frozen=True)
class Evaluation:
    """What a caller measured on the shipped file: gates passed, and scores for the card (measure → column → value)."""

    gates: tuple[GateResult, ...] = ()
    scores: Mapping[str, Mapping[str, str | int | float]] | None = None


class Tokenising(Protocol):
    """An engine as far as token parity needs it; `LlamaCppEngine` is one."""

    def tokenize(self, text: str) -> list[int]:
        """Ids of a rendered text."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


def build_release(
    *,
    merged: Path,
    contract: ChatContract,
    out: Path,
    kind: str,
    name: str,
    golden: Sequence[Sequence[ChatMessage]],
    tokenizer: Tokenise,
    card_facts: Mapping[str, Any],
    gates: Sequence[GateResult] = (),
    evaluate: Callable[[Path], Evaluation] | None = None,
    open_engine: Callable[[Path, ChatContract], Tokenising] | None = None,
    temperature: float | None = None,
    extras: Mapping[str, bytes] | None = None,
    today: date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Release:
    """Write, check and publish a release.

    Args:
        merged: Hugging Face folder of the model with its adapter folded in.
        contract: how it was trained to be asked.
        out: the release folder; an older release there is replaced once the new one is whole.
        kind: one of `KINDS`, or `F16`.
        name: of the release; also the name in Ollama.
        golden: at least 50 conversations for token parity.
        tokenizer: ids of a rendered text as training saw them.
        card_facts: see `CardFacts`.
        gates: passed before the build, such as greedy parity of the merge.
        evaluate: measures the quantised file; it raises `ReleaseError` where a gate of its own fails.
        open_engine: opens the quantised file for token parity; None takes the embedded llama.cpp.
        temperature: for the Modelfile; 0 for releases that understand callers.
        extras: further files of the release, name → content, such as an evaluation's report.
        today: day of the build; None asks the clock.
        progress: of the quantisation, (tensors done, tensors in all).

    Raises:
        ReleaseError: a gate failed or something cannot be expressed; `out` is as it was before.
        WorkspaceError: the disk is full or not writable.
    """
    if kind not in KINDS and kind != UNQUANTISED:
        raise ReleaseError(f"{kind!r} is no known quantisation", f"Choose one of {', '.join(KINDS)} or {UNQUANTISED}")
    facts = CardFacts.of(card_facts)
    with _published(out) as folder:
        report = _write_model(merged, contract, folder, kind, name, progress)
        passed = [*gates, _token_parity(folder / MODEL, contract, golden, tokenizer, open_engine or _embedded)]
        evaluation = evaluate(folder / MODEL) if evaluate is not None else Evaluation()
        contract.save(folder)
        (folder / MODELFILE).write_text(
            modelfile_text(contract, stops=_stop_texts(merged, contract), temperature=temperature), encoding="utf-8"
        )
        for file, content in (extras or {}).items():
            (folder / file).write_bytes(content)
        built = Built(
            kind=kind,
            bytes=report.bytes,
            types=report.types,
            fallbacks=report.fallbacks,
            gates=(*passed, *evaluation.gates),
            hashes={file: entry.sha256 for file, entry in _entries(folder).items()},
            date=today or date.today(),
            version=_version(),
        )
        measured = facts.model_copy(update={"scores": {**facts.scores, **(evaluation.scores or {})}})
        (folder / CARD).write_text(card_text(name, contract, measured, built), encoding="utf-8")
        (folder / BOM).write_text(bom_text(name, contract, measured, built), encoding="utf-8")
        manifest = Manifest(
            name=name, kind=kind, date=built.date.isoformat(), bedside=built.version, contract=contract.hash, files=_entries(folder)
        )
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return load_release(out)


def load_release(folder: Path) -> Release:
    """Open a release without reading its model; `verify_release` checks its bytes.

    Raises:
        ReleaseError: the folder is no release, or its manifest and contract do not fit each other.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ReleaseError(
            f"{str(folder)!r} holds no {MANIFEST}, so it is no finished release",
            "Give the folder that `bedside run` wrote, such as runs/clinic-line/release",
        ) from error
    except ValidationError as error:
        raise ReleaseError(f"{str(path)!r} is damaged ({error.errors()[0]['msg']})", _AGAIN) from error
    contract = ChatContract.load(folder)
    if contract.hash != manifest.contract:
        raise ReleaseError(
            f"{str(folder / CONTRACT)!r} is not the contract of its manifest ({contract.hash[:12]} against {manifest.contract[:12]})",
            _AGAIN,
        )
    if not (folder / MODEL).is_file() or MODEL not in manifest.files:
        raise ReleaseError(f"{str(folder)!r} lacks {MODEL}", _AGAIN)
    return Release(folder, folder / MODEL, contract, manifest)


def verify_release(folder: Path) -> Release:
    """Open a release and compare every byte with its manifest.

    The manifest itself is only as trustworthy as the signature over it.

    Raises:
        ReleaseError: names the first file that is missing, extra or changed.
    """
    release = load_release(folder)
    listed, found = release.manifest.files, set(_files(folder))
    if missing := sorted(listed.keys() - found):
        raise ReleaseError(f"{str(folder)!r} lacks {missing[0]!r}, which its manifest lists", _AGAIN)
    if extra := sorted(found - listed.keys() - {SIGNATURE}):
        raise ReleaseError(
            f"{str(folder)!r} holds {extra[0]!r}, which its manifest does not list", "Move that file elsewhere, or copy the release again"
        )
    for file, entry in listed.items():
        if (folder / file).stat().st_size != entry.bytes or sha256_file(folder / file) != entry.sha256:
            raise ReleaseError(f"{str(folder / file)!r} was changed since the release was built", _AGAIN)
    return release


@contextmanager
def _published(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place on success and vanishes on failure."""
    if out.exists() and not (out / MANIFEST).is_file():
        raise ReleaseError(f"{str(out)!r} exists and is no release", "Delete it or name another folder")
    building, old = out.with_name(f".{out.name}.building"), out.with_name(f".{out.name}.old")
    try:
        with disk_errors(out.parent):
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
            yield building
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write_model(
    merged: Path, contract: ChatContract, folder: Path, kind: str, name: str, progress: Callable[[int, int], None] | None
) -> QuantisedReport:
    if kind == UNQUANTISED:
        written = write_gguf(merged, contract, folder / MODEL, name=name)
        size = written.path.stat().st_size
        return QuantisedReport(kind, written.types, (), size, size)
    exact = folder / ".exact.gguf"
    write_gguf(merged, contract, exact, name=name)
    report = quantise(exact, folder / MODEL, kind, progress=progress)
    exact.unlink()
    return report


def _token_parity(
    model: Path,
    contract: ChatContract,
    golden: Sequence[Sequence[ChatMessage]],
    tokenizer: Tokenise,
    open_engine: Callable[[Path, ChatContract], Tokenising],
) -> GateResult:
    engine = open_engine(model, contract)
    try:
        return check_token_parity(golden, contract, tokenizer, engine.tokenize)
    finally:
        engine.close()


def _embedded(model: Path, contract: ChatContract) -> Tokenising:
    # llama.cpp is loaded only where a release is built with it, not where one is merely verified.
    from bedside.engine.llamacpp import LlamaCppEngine

    return LlamaCppEngine(model, contract)


def _stop_texts(merged: Path, contract: ChatContract) -> list[str]:
    return token_texts(merged / "tokenizer.json", contract.stop_ids)


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir() and path.name != MANIFEST)


def _entries(folder: Path) -> dict[str, FileEntry]:
    return {file: FileEntry(sha256=sha256_file(folder / file), bytes=(folder / file).stat().st_size) for file in _files(folder)}


def _version() -> str:
    try:
        return version("bedside")
    except PackageNotFoundError:
        return "(not installed)"
