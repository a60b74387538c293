"""The browser phone: a page that rings the practice's line, and the bridge that carries its call.

    microphone ─▶ worklet (µ-law, 8 kHz) ─▶ WebSocket of this gateway ─▶ WebSocket of the line (`bedside phone serve --media-streams`)

Page and line speak Twilio's Media Streams. The bridge adds what the browser must not know, the token that opens the line, and numbers the call
itself; everything else goes through as it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from bedside.phone.serving import STREAM_TOKEN
from bedside.server.access import person
from bedside.server.console.render import ConsoleRoute, page
from bedside.server.gateway import gateway_of

log = logging.getLogger(__name__)

_LONGEST_MESSAGE = 64 * 1024
_OPEN_S = 5.0
_TRY_AGAIN_LATER = 1013
_LONGEST_REASON = 120
"""Bytes of a close's reason: a control frame holds 125, two of them the code (RFC 6455 §5.5)."""

router = APIRouter(route_class=ConsoleRoute, prefix="/console/phone")


@router.get("", dependencies=[person("reception")])
def phone(request: Request) -> Response:
    """The phone."""
    return page(request, "phone.html.j2", is_set=gateway_of(request).settings.phone.stream is not None)


@router.websocket("/stream", dependencies=[person("reception")])
async def stream(browser: WebSocket) -> None:
    """One call of the browser phone."""
    await browser.accept()
    url = browser.app.state.gateway.settings.phone.stream
    if url is None:
        await browser.close(_TRY_AGAIN_LATER, "no phone line is set")
        return
    try:
        async with connect(url, open_timeout=_OPEN_S, max_size=_LONGEST_MESSAGE, proxy=None) as line:
            code, reason = await _carried(browser, line)
    except (OSError, TimeoutError, WebSocketException) as error:
        log.warning("the phone line at %s cannot be reached: %s", url, error)
        code, reason = _TRY_AGAIN_LATER, "the phone line does not answer"
    with suppress(RuntimeError, WebSocketDisconnect):  # the browser closed first
        await browser.close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))


async def _carried(browser: WebSocket, line: ClientConnection) -> tuple[int, str]:
    """Carry messages both ways until either side ends; the code and the reason of the line's close."""
    ways = [asyncio.create_task(_to_line(browser, line)), asyncio.create_task(_to_browser(browser, line))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    await line.close()
    return line.close_code or 1000, line.close_reason or ""


async def _to_line(browser: WebSocket, line: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, WebSocketException, KeyError):  # the call is over; KeyError: the page sent bytes, not text
        while True:
            text = await browser.receive_text()
            if len(text) > _LONGEST_MESSAGE:
                return
            await line.send(_with_token(text))


async def _to_browser(browser: WebSocket, line: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # the browser is gone
        async for message in line:
            if isinstance(message, str):
                await browser.send_text(message)


def _with_token(text: str) -> str:
    """The message as it is; its `start` with the line's token, and with names of stream and call that nobody can choose."""
    if '"start"' not in text:
        return text
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(message, Mapping) or message.get("event") != "start":
        return text
    return json.dumps({**message, "start": _start(message.get("start"))})


def _start(given: Any) -> dict[str, Any]:
    start = dict(given) if isinstance(given, Mapping) else {}
    parameters = start.get("customParameters")
    known = dict(parameters) if isinstance(parameters, Mapping) else {}
    name = uuid4().hex
    return {**start, "streamSid": name, "callSid": name, "customParameters": {**known, "token": os.environ.get(STREAM_TOKEN, "")}}
