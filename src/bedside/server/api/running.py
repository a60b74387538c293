"""One answer in the making: pieces pulled from an engine, let out sentence by sentence once the guard has read them."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bedside.safety.guard import SentenceGuard
from bedside.server.engines import CountsTokens, Lane


class Pieces:
    """An engine's stream, pulled one piece at a time from worker threads."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._pulling = threading.Lock()
        self._made: list[str] = []
        self.finish_reason: str | None = None

    def next(self) -> str | None:
        """The next piece; None at the end, when an engine that knows has said why it ended."""
        with self._pulling:
            try:
                piece = next(self._pieces)
            except StopIteration as end:
                self.finish_reason = end.value
                return None
            self._made.append(piece)
            return piece

    def close(self) -> None:
        """Stop the engine's work on this answer; where it is working on a piece, once that is done."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with self._pulling:
                close()

    @property
    def text(self) -> str:
        """All that was made, unguarded."""
        return "".join(self._made)

    @property
    def count(self) -> int:
        """Pieces that were made."""
        return len(self._made)


class Running:
    """A guarded stream of one lane.

    Attributes:
        lane: which engine makes it.
        guard: reads it.
        prompt: tokens of the messages; 0 where the engine cannot count.
        limit: most tokens of the answer.
        first: the first sentences that may be said; None: the answer is empty.
    """

    def __init__(self, lane: Lane, guard: SentenceGuard, pieces: Pieces, held: AsyncExitStack, prompt: int, limit: int) -> None:
        self.lane = lane
        self.guard = guard
        self.prompt = prompt
        self.limit = limit
        self.first: str | None = None
        self._pieces = pieces
        self._held = held
        self._ended = False

    async def next(self) -> str | None:
        """The next sentences that may be said; None at the end.

        Raises:
            EngineError: the engine failed or was too slow.
        """
        while not self._ended:
            piece = await self.lane.queue.thread(self._pieces.next)
            self._ended = piece is None
            text = self.guard.close() if piece is None else self.guard.feed(piece)
            if text:
                return text
        return None

    async def count(self) -> int:
        """Tokens of the answer as the model made it; pieces where the engine cannot count."""
        engine = self.lane.engine
        if isinstance(engine, CountsTokens) and self._pieces.text:
            return max(self._pieces.count, len(await self.lane.queue.thread(engine.tokenize, self._pieces.text)))
        return self._pieces.count

    def finish_reason(self, tokens: int) -> str:
        """Why the answer of so many tokens ended."""
        return self._pieces.finish_reason or ("length" if tokens >= self.limit else "stop")

    def close(self) -> None:
        """Give the engine back."""
        self.lane.queue.let_go(self._held)


async def begin(
    lane: Lane, pieces: Callable[[int], Iterator[str]], budget: Callable[[Lane], Awaitable[tuple[int, int]]], guard: SentenceGuard
) -> Running:
    """Start an answer and wait for its first sentences, so that until then another lane can take over.

    Args:
        lane: who makes it.
        pieces: starts the engine's stream, given the most tokens.
        budget: tokens of the messages, and the most of the answer.
        guard: new, of this answer.

    Raises:
        ProblemError, EngineError: the lane is full, or failed. Nothing is held then.
    """
    held = AsyncExitStack()
    try:
        await held.enter_async_context(lane.queue.place())
        prompt, limit = await budget(lane)
        await held.enter_async_context(lane.queue.slot())
        stream = Pieces(pieces(limit))
        held.push_async_callback(lane.queue.to_end, stream.close)
        running = Running(lane, guard, stream, held, prompt, limit)
        running.first = await running.next()
    except BaseException:
        lane.queue.let_go(held)
        raise
    return running


class EventStream(StreamingResponse):
    """A stream of server-sent events that is ended in order however it ends, also when it never began."""

    def __init__(self, events: AsyncIterator[str], headers: dict[str, str], ended: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store", **headers})
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._ended()
