"""The ways in to a line, by setting: SIP, AudioSocket, Media Streams."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bedside.errors import BedsideError
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.transports.audiosocket import AudioSocket
from bedside.phone.transports.media_streams import MediaStreams
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings
from bedside.recipe.yaml_model import read_model

if TYPE_CHECKING:
    import uvicorn

STREAM_TOKEN = "BEDSIDE_STREAM_TOKEN"
"""Variable of the environment with the token that opens the line to Media Streams."""
SIP_PASSWORD = "BEDSIDE_SIP_PASSWORD"
"""Variable of the environment with the extension's password, so that it need not stand in a file."""
STREAM_PATH = "/phone"


@dataclass(frozen=True)
class WaysIn:
    """Which transports a line has.

    Attributes:
        sip: an extension or a trunk; None: none.
        audiosocket: TCP port for Asterisk; None: none.
        media_streams: TCP port for WebSockets; None: none.
        host: where the two listen.
    """

    sip: SipSettings | None = None
    audiosocket: int | None = None
    media_streams: int | None = None
    host: str = "127.0.0.1"


def read_sip(path: Path) -> SipSettings:
    """SIP settings from a YAML file; the password may come from the environment.

    Raises:
        BedsideError: the file is missing, no YAML, or has faults, all of which the message lists.
    """

    def with_password(data: dict[str, object]) -> None:
        if password := os.environ.get(SIP_PASSWORD):
            data.setdefault("password", password)

    explained = "the keys are those of `SipSettings`, such as host, port, allowed, registrar, user"
    return read_model(path, SipSettings, BedsideError, kind="SIP file", example="sip.yaml", explained=explained, change=with_password)


@asynccontextmanager
async def open_ways(ways: WaysIn, switchboard: Switchboard) -> AsyncIterator[list[str]]:
    """Let calls in; gives each way in words.

    Raises:
        BedsideError: no way is set, a port is taken, or the token of Media Streams is not set.
    """
    if ways.sip is None and ways.audiosocket is None and ways.media_streams is None:
        raise BedsideError("the line has no way in", "Give --sip FILE, --audiosocket PORT or --media-streams PORT")
    async with AsyncExitStack() as stack:
        opened = []
        if ways.sip is not None:
            sip = await stack.enter_async_context(SipLine(ways.sip, switchboard))
            opened.append(f"SIP at {sip.address[0]}:{sip.address[1]} ({sip.status})")
        if ways.audiosocket is not None:
            socket = await stack.enter_async_context(AudioSocket(switchboard, ways.host, ways.audiosocket))
            opened.append(f"AudioSocket at {socket.address[0]}:{socket.address[1]}")
        if ways.media_streams is not None:
            token = _token().encode()
            streams = MediaStreams(switchboard, lambda given: hmac.compare_digest(given.encode(), token))
            opened.append(await stack.enter_async_context(_web(ways.host, ways.media_streams, streams)))
        yield opened


def _token() -> str:
    token = os.environ.get(STREAM_TOKEN, "")
    if len(token) < 16:
        raise BedsideError(
            f"{STREAM_TOKEN} is {'not set' if not token else 'shorter than 16 letters'}, so that anybody could ring",
            f"export {STREAM_TOKEN}=$(openssl rand -hex 16), and give the same token to your carrier as the parameter `token`",
        )
    return token


@asynccontextmanager
async def _web(host: str, port: int, streams: MediaStreams) -> AsyncIterator[str]:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals belong to whoever runs the line."""
            yield

    app = Starlette(routes=[WebSocketRoute(STREAM_PATH, streams.serve)])
    server = Server(uvicorn.Config(app, host=host, port=port, log_level="warning", ws="websockets-sansio"))
    task = asyncio.create_task(_served(server))
    try:
        while not server.started:
            if task.done():
                raise BedsideError(f"Media Streams cannot listen on {host}:{port}", "Choose another port, or stop what uses it")
            await asyncio.sleep(0.02)
        place = server.servers[0].sockets[0].getsockname()
        yield f"Media Streams at ws://{place[0]}:{place[1]}{STREAM_PATH}"
    finally:
        server.should_exit = True
        await task


async def _served(server: uvicorn.Server) -> None:
    try:
        await server.serve()
    except SystemExit:  # how uvicorn says that its port is taken, after it has logged why
        return
