"""Media Streams through a real server and a real WebSocket client."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bedside.phone.leg import FRAME_SAMPLES, Audio, CallLeg, Digit, HungUp, LegEvent, Played
from bedside.phone.media.g711 import MU_LAW
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.transports.media_streams import MediaStreams

TOKEN = "an-open-sesame-for-tests"
TONE = MU_LAW.decode(MU_LAW.encode(np.full(FRAME_SAMPLES, 2000, dtype="<i2").tobytes()))
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": TOKEN, "from": "+61491570156", "to": "0255501234"},
    },
}

Client = Callable[[str, Switchboard], Awaitable[None]]


def media(pcm: bytes, **more: Any) -> dict[str, Any]:
    payload = base64.b64encode(MU_LAW.encode(pcm)).decode()
    return {"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "payload": payload, **more}}


@asynccontextmanager
async def served(streams: MediaStreams) -> AsyncIterator[str]:
    app = Starlette(routes=[WebSocketRoute("/phone", streams.serve)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/phone"
    finally:
        server.should_exit = True
        await task


def on_line(client: Client, answer: Callable[[CallLeg], Awaitable[None]] | None = None, limit: int = 5) -> list[LegEvent]:
    """What calls were told while the client did what it does."""
    events: list[LegEvent] = []

    async def listen(leg: CallLeg) -> None:
        async for event in leg.events():
            events.append(event)

    async def run() -> None:
        async with Switchboard(answer or listen, limit) as switchboard:
            streams = MediaStreams(switchboard, lambda token: hmac.compare_digest(token.encode(), TOKEN.encode()))
            async with served(streams) as url:
                await client(url, switchboard)
                for _ in range(100):
                    if not switchboard.calls:
                        break
                    await asyncio.sleep(0.02)
                assert switchboard.calls == 0

    asyncio.run(asyncio.wait_for(run(), 60))
    return events


async def say(socket: ClientConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


def test_a_stream_is_a_call_with_its_numbers_audio_and_keys() -> None:
    numbers = []
    events: list[LegEvent] = []

    async def answer(leg: CallLeg) -> None:
        numbers.append((leg.far_id, leg.caller, leg.called))  # type: ignore[attr-defined]
        async for event in leg.events():
            events.append(event)

    async def client(url: str, _: Switchboard) -> None:
        async with connect(url) as socket:
            await say(socket, CONNECTED, START, media(TONE * 3), media(TONE, track="outbound"))
            await say(socket, {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "0"}})
            await asyncio.sleep(0.1)
            await say(socket, {"event": "stop", "streamSid": "MZ1"})
            await asyncio.sleep(0.1)

    on_line(client, answer)
    assert numbers == [("CA1", "+61491570156", "0255501234")]
    assert [e.pcm for e in events if isinstance(e, Audio) and not e.lost] == [TONE] * 3
    assert Digit("0") in events and events[-1] == HungUp("the caller hung up")


def test_playback_is_confirmed_by_mark_and_clear_empties_the_far_end() -> None:
    told: list[LegEvent] = []
    back: list[dict[str, Any]] = []

    async def answer(leg: CallLeg) -> None:
        leg.play(TONE * 10, "short")
        async for event in leg.events():
            told.append(event)
            if event == Played("short", 200, complete=True):
                leg.play(TONE * 500, "long")
                await asyncio.sleep(0.3)
                leg.clear()
            elif isinstance(event, Played):
                return

    async def client(url: str, _: Switchboard) -> None:
        async with connect(url) as socket:
            await say(socket, CONNECTED, START)
            async for text in socket:
                back.append(json.loads(text))
                if back[-1]["event"] == "mark":
                    assert not told or not isinstance(told[-1], Played)  # not before it is confirmed
                    await say(socket, back[-1])

    on_line(client, answer)
    kinds = [message["event"] for message in back]
    assert kinds.index("mark") == 10 and kinds.count("clear") >= 1 and 8 <= kinds.index("clear") - kinds.index("mark") < 200
    assert all(message["streamSid"] == "MZ1" for message in back)
    heard = b"".join(base64.b64decode(message["media"]["payload"]) for message in back[:10])
    assert heard.endswith(MU_LAW.encode(TONE * 10)) and set(heard[: -10 * FRAME_SAMPLES]) == {0xFF}
    assert [event.complete for event in told if isinstance(event, Played)] == [True, False]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([CONNECTED, START | {"start": START["start"] | {"customParameters": {"token": "wrong"}}}], 1008),
        ([CONNECTED, START | {"start": {k: v for k, v in START["start"].items() if k != "customParameters"}}], 1008),
        ([CONNECTED, START | {"start": START["start"] | {"mediaFormat": {"encoding": "audio/ogg"}}}], 1003),
        ([media(TONE)], 1008),
        ([CONNECTED, {"event": "x" * 70_000}], 1009),
    ],
    ids=["wrong token", "no token", "other audio", "media first", "too long"],
)
def test_what_is_no_proper_start_is_refused(messages: list[dict[str, Any]], code: int) -> None:
    async def client(url: str, switchboard: Switchboard) -> None:
        async with connect(url) as socket:
            await say(socket, *messages)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == code
        assert switchboard.counts["admitted"] == 0

    assert on_line(client) == []


def test_a_call_over_the_limit_is_told_to_go_elsewhere() -> None:
    async def client(url: str, switchboard: Switchboard) -> None:
        async with connect(url) as first, connect(url) as second:
            await say(first, CONNECTED, START)
            await asyncio.sleep(0.2)
            await say(second, CONNECTED, START)
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 1013 and switchboard.counts["refused"] == 1

    on_line(client, limit=1)


def test_audio_faster_than_real_time_is_dropped_and_counted() -> None:
    legs: list[Any] = []

    async def answer(leg: CallLeg) -> None:
        legs.append(leg)
        async for _ in leg.events():
            pass

    async def client(url: str, _: Switchboard) -> None:
        async with connect(url) as socket:
            await say(socket, CONNECTED, START, *[media(TONE * 50)] * 12)
            await asyncio.sleep(0.2)

    on_line(client, answer)
    assert legs[0].counts["audio faster than real time"] > 200


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["payload", "track", "digit", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
MESSAGES = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda event, part: json.dumps({"event": event, event: part, "streamSid": "MZ1"}),
        st.sampled_from(["media", "dtmf", "mark", "start", "stop", "x"]),
        JUNK,
    ),
    st.just("[" * 10_000),
)


@settings(deadline=None, max_examples=10)
@given(st.lists(MESSAGES, max_size=8), st.booleans())
def test_nonsense_ends_its_own_call_at_most_and_the_others_go_on(messages: list[str], begun: bool) -> None:
    async def client(url: str, _: Switchboard) -> None:
        async with connect(url) as good, connect(url) as bad:
            await say(good, CONNECTED, START)
            if begun:
                await say(bad, CONNECTED, START)
            try:
                for message in messages:
                    await bad.send(message)
            except ConnectionClosed:
                pass
            await asyncio.sleep(0.02)
            await say(good, {"event": "dtmf", "dtmf": {"digit": "9"}})
            await asyncio.sleep(0.05)

    assert Digit("9") in on_line(client)
