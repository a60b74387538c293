"""A bounded queue before each engine: so many calls at a time, so many waiting, one more is told when to come back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from bedside.errors import EngineError
from bedside.server.problems import ProblemError

_T = TypeVar("_T")


class EngineQueue:
    """Lets so many calls into an engine at a time, in the order they came, and so many wait.

    Args:
        parallel: calls at a time.
        waiting: requests that may wait for a call.
        timeout: seconds after which a call is given up. Its thread cannot be stopped, so it keeps its turn until the engine is done.
    """

    def __init__(self, parallel: int, waiting: int, timeout: float) -> None:
        self.timeout = timeout
        self._parallel = parallel
        self._places = parallel + waiting
        self._inside = 0
        self._slots = asyncio.Semaphore(parallel)
        # Threads of its own: an engine that hangs must not take those of the audit log or of another engine.
        self._threads = CapacityLimiter(self._places)
        self._seconds = 1.0
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def inside(self) -> int:
        """Requests that are being answered or wait."""
        return self._inside

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places from arrival to answer.

        Raises:
            ProblemError: 429, when as many wait as may.
        """
        if self._inside >= self._places:
            wait = max(1, math.ceil(self._seconds * self._inside / self._parallel))
            raise ProblemError(
                429, "busy", f"{self._inside} requests are being answered or wait for the model; ask again in {wait} s", retry_after=wait
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn at the engine and hold it."""
        async with self._slots:
            start = time.monotonic()
            try:
                yield
            finally:
                self._seconds = 0.8 * self._seconds + 0.2 * (time.monotonic() - start)

    async def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Run one blocking engine call in a thread, in turn.

        Raises:
            EngineError: it was given up.
        """
        held = AsyncExitStack()
        await held.enter_async_context(self.slot())

        async def work() -> _T:
            async with held:
                return await self.to_end(function, *args, **kwargs)

        return await self._in_time(work())

    async def thread(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run one blocking call that needs no turn, or whose caller holds one.

        Raises:
            EngineError: it was given up.
        """
        return await self._in_time(self.to_end(function, *args))

    async def to_end(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Run one blocking call however long it takes."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._threads)

    def let_go(self, held: AsyncExitStack) -> None:
        """Give back what an answer held, without letting its client wait for an engine that has yet to stop."""
        task = asyncio.create_task(held.aclose())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _in_time(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.create_task(work)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self.timeout)
        except TimeoutError:
            raise EngineError(
                f"the model did not answer within {self.timeout:g} s", "Ask for fewer tokens, or raise timeout_seconds"
            ) from None
        finally:
            task.add_done_callback(_noted)


def _noted(task: asyncio.Task[Any]) -> None:
    """Look at how a call that nobody waits for any more ended, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()
