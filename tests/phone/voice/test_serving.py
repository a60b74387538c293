"""The ways in to a line, opened by setting, over the loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
import websockets

from bedside.errors import BedsideError
from bedside.phone.leg import CallLeg, HungUp
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.serving import SIP_PASSWORD, STREAM_TOKEN, WaysIn, open_ways, read_sip
from bedside.phone.transports.sip_settings import SipSettings

SIP = SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0))


def opened(ways: WaysIn) -> list[str]:
    """What the ways say that they are."""

    async def go() -> list[str]:
        async with Switchboard(_answer, 2) as switchboard, open_ways(ways, switchboard) as found:
            return found

    return asyncio.run(go())


async def _answer(leg: CallLeg) -> None:
    async for event in leg.events():
        if isinstance(event, HungUp):
            return


def test_a_line_without_a_way_in_says_what_to_give() -> None:
    with pytest.raises(BedsideError, match="--sip FILE, --audiosocket PORT or --media-streams PORT"):
        opened(WaysIn())


def test_every_way_tells_where_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STREAM_TOKEN, "t" * 16)
    sip, audiosocket, streams = opened(WaysIn(SIP, 0, 0))
    assert sip.startswith("SIP at 127.0.0.1:") and "no registration" in sip
    assert audiosocket.startswith("AudioSocket at 127.0.0.1:") and streams.endswith("/phone")


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BedsideError, match=f"127.0.0.1:{port}"):
            opened(WaysIn(audiosocket=port))


@pytest.mark.parametrize("token", ["", "short"])
def test_media_streams_are_not_opened_to_everybody(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(STREAM_TOKEN, token)
    with pytest.raises(BedsideError, match="openssl rand"):
        opened(WaysIn(media_streams=0))


def test_a_stream_with_another_token_is_turned_away_and_one_with_the_token_is_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STREAM_TOKEN, "t" * 16)
    calls: list[CallLeg] = []

    async def answer(leg: CallLeg) -> None:
        calls.append(leg)
        await _answer(leg)

    async def ring(url: str, token: str) -> int:
        async with websockets.connect(url) as stream:
            form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
            start = {"streamSid": "MZ1", "callSid": "CA1", "mediaFormat": form, "customParameters": {"token": token}}
            await stream.send(json.dumps({"event": "start", "start": start}))
            if token == "t" * 16:
                await asyncio.sleep(0.2)
                await stream.send(json.dumps({"event": "stop"}))
            await stream.wait_closed()
            return stream.close_code or 0

    async def go() -> None:
        async with Switchboard(answer, 2) as switchboard, open_ways(WaysIn(media_streams=0), switchboard) as (way,):
            url = way.removeprefix("Media Streams at ")
            assert await ring(url, "t" * 15 + "x") == 1008 and not calls
            assert await ring(url, "t" * 16) == 1000 and len(calls) == 1

    asyncio.run(go())


def test_sip_settings_come_from_a_file_and_the_password_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sip.yaml"
    file.write_text('registrar: "127.0.0.1:5060"\nuser: "601"\n')
    monkeypatch.setenv(SIP_PASSWORD, "from outside")
    assert read_sip(file).password == "from outside"
    file.write_text("registra: pbx\n")
    with pytest.raises(BedsideError, match="registra"):
        read_sip(file)
    with pytest.raises(BedsideError, match=r"missing\.yaml"):
        read_sip(tmp_path / "missing.yaml")
