"""The worker of a feed: a process of its own that notes what waits in the queue, so that acknowledgements never wait for it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path

from bedside.engine.base import Engine
from bedside.errors import BedsideError
from bedside.reports.feed.desk import REASON, REFUSED, Desk, Outcome, Read
from bedside.reports.feed.durable import Files
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Message, Store
from bedside.reports.readers import read_report

QUEUE = "queue.sqlite"
_IDLE_SECONDS = 0.02
_MOST_TRIES = 3
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker needs.

    Attributes:
        data: folder of the queue.
        out: folder of the results.
        records: folder of the patients' records; None: there is none.
        release: whose model words the summaries; None: a template does.
        pages: write an HTML page beside each result.
        keep_days: how long the content of noted messages, and what corrections are merged with, is kept.
    """

    data: Path
    out: Path
    records: Path | None = None
    release: Path | None = None
    pages: bool = False
    keep_days: int = 90


def run_worker(work: Work, stop: Event) -> None:
    """Note messages until `stop` is set or the parent process is gone; the body of a child process."""
    # Ctrl-C reaches the whole group; the parent tells when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that was killed while this process started is gone already: its process id now is not to be asked for.
    parent = parent_process()
    try:
        with alone(work.data / "worker.lock"):
            store = Store(work.data / QUEUE, durable=False)
            desk = Desk(store, work.out, Records(work.records), engine=_engine(work.release), pages=work.pages)
            pruned = 0.0
            while not stop.is_set() and (parent is None or parent.is_alive()):
                if time.time() - pruned > _DAY:
                    store.prune(work.keep_days)
                    pruned = time.time()
                if not drain(store, desk, work.out):
                    time.sleep(_IDLE_SECONDS)
    except BedsideError as error:
        sys.exit(f"worker: {error}")


def drain(store: Store, desk: Desk, out: Path) -> list[Outcome]:
    """Note the next messages that wait; returns what became of them."""
    taken = store.take()
    if taken and taken[0].tries > _MOST_TRIES:  # it came alone
        outcomes = [Outcome(taken[0].name, f"It ended the worker {_MOST_TRIES} times.")]
    else:
        outcomes = desk.note([(one, _reader(one)) for one in taken])
    for message, outcome in zip(taken, outcomes, strict=True):
        if outcome.refused:
            with Files() as files:
                files.write(out / REFUSED / f"{message.name}.hl7", message.body or b"")
                files.write(out / REFUSED / f"{message.name}{REASON}", outcome.refused + "\n")
            store.refuse(message, outcome.refused)
    return outcomes


def _reader(message: Message) -> Read:
    return lambda: read_report(message.body or b"", f"{message.name}.hl7")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock file, and hold it; the system lets go of it however the process ends."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _engine(release: Path | None) -> Engine | None:
    if release is None:
        return None
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.release import load_release

    loaded = load_release(release)
    return LlamaCppEngine(loaded.model, loaded.contract)
