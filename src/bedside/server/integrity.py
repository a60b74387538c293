"""Watches over the releases that the gateway runs: a changed byte stops the models, with a reason that says which file.

Every byte is checked at start, every `integrity.check_hours`, and within `LOOK_SECONDS` of a change that the file system shows. With
`integrity.public_key` in the settings a release needs the owner's signature; without, its own manifest is all there is to compare with,
and the log says so. A model that was stopped stays stopped until the gateway is started again: what it loaded cannot be checked any more.
The rules of the safety core need no model and go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread

from bedside.errors import BedsideError
from bedside.release.build import MANIFEST
from bedside.release.signature import check_release
from bedside.server.problems import ProblemError
from bedside.server.settings import GatewaySettings
from bedside.workspace.audit import AuditLog
from bedside.workspace.files import sha256_file

LOOK_SECONDS = 30.0
"""How often names, sizes and times of the files are compared."""
_LONGEST_PROBLEM = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """What the last check of a release found.

    Attributes:
        engine: name of the engine that runs it.
        folder: where it lies.
        checked: when.
        manifest: SHA-256 of its manifest; empty where that cannot be read.
        signer: fingerprint of the key whose signature holds; None: no key was given to check one with.
        problem: why it may not be served; None: it is whole.
    """

    engine: str
    folder: Path
    checked: datetime
    manifest: str
    signer: str | None = None
    problem: str | None = None


class Integrity:
    """Checks the releases of a gateway, for the first time before the constructor returns.

    Args:
        settings: name the releases, the public key and the hours between checks.
        audit: takes `release.verified` for each check of a release.

    Raises:
        AuditError: the outcome cannot be logged.
    """

    def __init__(self, settings: GatewaySettings, audit: AuditLog) -> None:
        self._releases = settings.releases
        self._settings = settings.integrity
        self._audit = audit
        self._states: dict[str, ReleaseState] = {}
        self._looks: dict[str, object] = {}
        self.check()

    @property
    def states(self) -> tuple[ReleaseState, ...]:
        """The last check of each release, in the order of the engines."""
        return tuple(self._states.values())

    @property
    def problem(self) -> str | None:
        """Why no model is served; None: all releases are what they were."""
        return next((state.problem for state in self._states.values() if state.problem), None)

    def require(self) -> None:
        """Let a request through to a model.

        Raises:
            ProblemError: 503 `release_changed`, a release is not what its owner made. One is enough to stop all models, because whoever
                changed it could reach the others too.
        """
        if self.problem:
            detail = f"no model is served, because {self.problem}; an administrator runs `bedside verify`, mends the release and restarts"
            raise ProblemError(503, "release_changed", detail)

    def check(self) -> None:
        """Check every byte of every release now. Blocks for about a second for each gigabyte.

        Raises:
            AuditError: the outcome cannot be logged.
        """
        for engine, folder in self._releases.items():
            self._looks[engine] = _look(folder)
            state = self._checked(engine, folder)
            self._states[engine] = state
            self._audit.append(
                "release.verified",
                release=engine,
                hash=state.manifest,
                ok=state.problem is None,
                problem=(state.problem or "")[:_LONGEST_PROBLEM],
            )
            self._tell(state)

    async def watch(self) -> None:
        """Check again when it is time or something changed; until cancelled, or until a release was found changed."""
        hours = self._settings.check_hours
        due = time.monotonic() + hours * 3600
        while self.problem is None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if time.monotonic() >= due or await to_thread.run_sync(self._changed):
                    await to_thread.run_sync(self.check)
                    due = time.monotonic() + hours * 3600
            except BedsideError as error:  # the audit log cannot be written; tried again at the next look
                _log.error("integrity: %s", error)

    def _checked(self, engine: str, folder: Path) -> ReleaseState:
        before, now = self._states.get(engine), datetime.now(UTC)
        if before and before.problem:
            return before
        manifest = ""
        try:
            manifest = sha256_file(folder / MANIFEST)
            signer = check_release(folder, self._settings.public_key).signer
        except BedsideError as error:
            problem = f"the release of {engine!r} is not what it was: {_without_paths(error.problem, folder)}"
            return ReleaseState(engine, folder, now, manifest, problem=problem)
        except OSError as error:
            return ReleaseState(engine, folder, now, manifest, problem=f"the release of {engine!r} cannot be read ({error.strerror})")
        if before and before.manifest != manifest:
            problem = f"the release of {engine!r} was replaced while the gateway was running"
            return ReleaseState(engine, folder, now, manifest, signer, problem)
        return ReleaseState(engine, folder, now, manifest, signer)

    def _changed(self) -> bool:
        return any(_look(folder) != self._looks.get(engine) for engine, folder in self._releases.items())

    def _tell(self, state: ReleaseState) -> None:
        if state.problem:
            _log.error("release %s at %s is not served: %s", state.engine, state.folder, state.problem)
        elif state.signer:
            _log.info("release %s is whole and signed with key %s", state.engine, state.signer[:16])
        else:
            _log.warning("release %s is whole by its own manifest; no public_key is set, so nobody's signature was checked", state.engine)


def _look(folder: Path) -> object:
    """What the file system says of every file of a folder; equal as long as none was written."""
    return sorted(_seen(folder))


def _seen(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    for path in folder.rglob("*"):
        try:
            found = path.lstat()
        except OSError:  # it went away meanwhile, which the next look shows
            continue
        yield path.as_posix(), found.st_ino, found.st_size, found.st_ctime_ns


def _without_paths(problem: str, folder: Path) -> str:
    """A client learns which file it is, and not where on the machine."""
    return problem.replace(f"{folder}/", "").replace(str(folder), folder.name)
