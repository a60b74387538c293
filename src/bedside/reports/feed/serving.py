"""A feed at work: the listener in this process, the worker in one of its own that is started again when it ends."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable

from bedside.errors import BedsideError
from bedside.reports.feed.mllp import Door, Inbox, Listener
from bedside.reports.feed.store import Counts, Store
from bedside.reports.feed.worker import QUEUE, Work, run_worker

_REPORT_SECONDS = 60
_AGAIN_SECONDS = 5
_LOOK_SECONDS = 0.5


async def serve(door: Door, work: Work, stop: asyncio.Event, tell: Callable[[str], None]) -> Counts:
    """Take results and note them until `stop` is set.

    Args:
        door: where to listen.
        work: where everything lies.
        tell: is given lines for whoever runs it; they hold numbers, and no words of a report.

    Returns:
        What the queue held in the end. What still waits is noted at the next start.

    Raises:
        BedsideError: the port or the queue cannot be used, or another listener has the queue.
    """
    import fcntl

    store = Store(work.data / QUEUE)
    with (work.data / "listener.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BedsideError(
                f"another listener uses the queue in {str(work.data)!r}", "Stop it, or give another folder with --data"
            ) from error
        inbox = Inbox(store)
        async with Listener(door, inbox.put) as listener:
            host, port = listener.address
            tell(f"listening on {host}:{port}; results go to {work.out}")
            tell(f"queue: {store.counts()}")
            keeper = asyncio.create_task(_keep_working(work, stop, tell))
            reporter = asyncio.create_task(_report(work, listener, stop, tell))
            await stop.wait()
            reporter.cancel()
            await keeper
    counts = store.counts()
    store.close()
    return counts


async def _keep_working(work: Work, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
    """Have one worker, and a new one some seconds after it ends."""
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    while not stop.is_set():
        process = context.Process(target=run_worker, args=(work, ended), daemon=True)
        process.start()
        while process.is_alive() and not stop.is_set():
            await _wait(stop, _LOOK_SECONDS)
        if stop.is_set():
            ended.set()
            await asyncio.to_thread(process.join)
            return
        tell(f"the worker ended (exit code {process.exitcode}); another starts in {_AGAIN_SECONDS} s, and messages are kept meanwhile")
        await _wait(stop, _AGAIN_SECONDS)


async def _report(work: Work, listener: Listener, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
    """A line a minute, where something changed."""
    store, last = Store(work.data / QUEUE, durable=False), ""
    while True:
        await _wait(stop, _REPORT_SECONDS)
        came = ", ".join(f"{number:,} {what.replace('_', ' ')}" for what, number in sorted(listener.counts.items()) if number)
        line = f"{await asyncio.to_thread(store.counts)}; since the start: {came or 'nothing'}"
        if line != last:
            tell(line)
        last = line


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
