"""What one client may take up: the size and pace of a body, the pace of headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bedside.server.problems import ProblemError
from bedside.server.settings import LimitSettings

_DRAINED = 8
"""What is over the limit is read and forgotten up to so many times the limit: a connection closed on unread bytes would lose the refusal."""


class BodyLimit:
    """ASGI middleware that reads a request's body whole, and refuses one that is too long (413) or too slow (408)."""

    def __init__(self, app: ASGIApp, limits: LimitSettings) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._read(receive)
        except TimeoutError:
            await _refuse(408, "body_too_slow", f"the body did not arrive within {self._limits.body_seconds:g} s", scope, receive, send)
            return
        if body is None:
            return
        if len(body) > self._limits.max_body_bytes:
            detail = f"the request's body is over {self._limits.max_body_bytes} bytes"
            await _refuse(413, "body_too_large", detail, scope, receive, send)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytearray | None:
        """The body, cut off just over the limit; None when the client went away."""
        body, seen = bytearray(), 0
        most = self._limits.max_body_bytes
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            seen += len(chunk)
            body += chunk[: most + 1 - len(body)]
            if not message.get("more_body") or seen > _DRAINED * most:
                return body


async def _refuse(status: int, code: str, detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    problem = ProblemError(status, code, detail, headers={"Connection": "close"})
    await problem.response()(scope, receive, send)


def patient_protocol(header_seconds: float) -> Callable[..., asyncio.Protocol]:
    """Uvicorn's HTTP protocol, with an end to its patience: uvicorn itself waits for ever for the headers of a request that has begun
    (the attack called Slowloris).

    Args:
        header_seconds: a connection whose request line and headers take longer is closed.
    """

    class Protocol(H11Protocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._patience is None:
                self._await_headers()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._stop_waiting()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _await_headers(self) -> None:
            self._patience = self.loop.call_later(header_seconds, self.timeout_keep_alive_handler)

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return Protocol
