"""Calls by other people's software: baresip and SIPp, over the loopback."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bedside.phone.leg import RATE, CallLeg, Digit, HungUp, Played
from bedside.phone.media.g711 import A_LAW
from bedside.phone.media.session import MediaSession, SessionEvent, Speech, SpeechStarted, TurnEnded
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings
from fixtures_baresip import baresip, heard
from fixtures_phone_media import program

pytestmark = pytest.mark.slow

TONE = (9000 * np.sin(np.arange(RATE * 12) * 2 * np.pi * 440 / RATE)).astype("<i2").tobytes()
"""Twelve seconds of 440 Hz: what the line says and the caller has had enough of."""

SCENARIO = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="a call with audio">
<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:04915701[call_number]@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: clinic <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:caller@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=ptime:20
]]></send>
<recv response="100" optional="true"/>
<recv response="200"/>
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:04915701[call_number]@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: clinic <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec rtp_stream="{audio},1,8"/></action></nop>
<pause milliseconds="5000"/>
<send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: caller <sip:04915701[call_number]@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: clinic <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""


def test_a_baresip_caller_barges_in_presses_a_key_and_is_transferred(
    tmp_path: Path, voice: VoiceActivity, speech: Callable[[str], bytes]
) -> None:
    said = bytes(2 * RATE * 2) + speech("Excuse me, I would like to speak to a person please.") + bytes(2 * RATE * 10)
    told: list[SessionEvent] = []
    transferred: list[bool] = []

    async def go() -> None:
        async with baresip(tmp_path / "doctor", said, "PCMA", answers=True) as doctor, baresip(tmp_path / "caller", said, "PCMA") as caller:

            async def answer(leg: CallLeg) -> None:
                session = MediaSession(leg, voice)
                session.play(TONE, "greeting")
                async for event in session.events():
                    told.append(event)
                    if isinstance(event, Digit):
                        transferred.append(await leg.transfer(doctor.address))

            async with (
                Switchboard(answer, 5) as switchboard,
                SipLine(SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0)), switchboard) as line,
            ):
                await caller.do("dial", "sip:clinic@{}:{}".format(*line.address))
                await caller.until("CALL_ESTABLISHED")
                async with asyncio.timeout(20):
                    while not any(isinstance(event, TurnEnded) for event in told):
                        await asyncio.sleep(0.05)
                await caller.do("sndcode", "0")
                await doctor.until("CALL_ESTABLISHED")
                await asyncio.sleep(1)
                await caller.do("hangup")
                await asyncio.sleep(0.3)

    asyncio.run(go())
    kinds = [type(event).__name__ for event in told if not isinstance(event, Speech)]
    assert kinds[:3] == ["SpeechStarted", "Played", "TurnEnded"] and Digit("0") in told
    assert SpeechStarted(barge_in=True) in told and transferred == [True]
    greeting = next(event for event in told if isinstance(event, Played))
    assert not greeting.complete and greeting.ms < 8000
    # In the caller's own recording the greeting breaks off, and the line is silent from then on.
    loud = np.flatnonzero(np.abs(heard(tmp_path / "caller")) > 3000)
    assert abs((loud[-1] - loud[0]) / RATE - greeting.ms / 1000) < 0.5


def test_a_baresip_caller_by_mu_law_hears_the_tone_as_it_was_played(tmp_path: Path, voice: VoiceActivity) -> None:
    async def answer(leg: CallLeg) -> None:
        leg.play(TONE[: 2 * RATE * 2], "tone")
        async for event in leg.events():
            if isinstance(event, Played):
                return

    async def go() -> None:
        async with (
            baresip(tmp_path / "caller", bytes(2 * RATE * 10), "PCMU") as caller,
            Switchboard(answer, 5) as switchboard,
            SipLine(SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0)), switchboard) as line,
        ):
            await caller.do("dial", "sip:clinic@{}:{}".format(*line.address))
            await caller.until("CALL_CLOSED")

    asyncio.run(go())
    samples = heard(tmp_path / "caller")
    loud = np.flatnonzero(np.abs(samples) > 3000)
    tone = samples[loud[0] : loud[-1]]
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    assert abs(np.argmax(spectrum) * RATE / len(tone) - 440) < 3
    assert abs(len(tone) / RATE - 2) < 0.3 and 8000 < np.max(np.abs(tone)) < 10_000


def test_sipp_places_calls_with_audio_and_each_is_heard_to_its_end(
    tmp_path: Path, voice: VoiceActivity, speech: Callable[[str], bytes]
) -> None:
    sipp = program("sipp", "sip-tester")
    (tmp_path / "said.alaw").write_bytes(
        A_LAW.encode(speech("I would like to book an appointment for Thursday please.") + bytes(2 * RATE * 3))
    )
    (tmp_path / "call.xml").write_text(SCENARIO.replace("{audio}", str(tmp_path / "said.alaw")))
    told: list[list[SessionEvent]] = []

    async def answer(leg: CallLeg) -> None:
        events: list[SessionEvent] = []
        told.append(events)
        async for event in MediaSession(leg, voice).events():
            events.append(event)

    async def go() -> None:
        async with (
            Switchboard(answer, 20) as switchboard,
            SipLine(SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0)), switchboard) as line,
        ):
            target = "{}:{}".format(*line.address)
            options = [
                "-sf",
                "call.xml",
                "-i",
                "127.0.0.1",
                "-mi",
                "127.0.0.1",
                "-mp",
                "24000",
                "-s",
                "clinic",
                "-m",
                "8",
                "-l",
                "8",
                "-r",
                "8",
                "-nostdin",
            ]
            process = await asyncio.create_subprocess_exec(
                sipp, target, *options, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert await asyncio.wait_for(process.wait(), 40) == 0
            await asyncio.sleep(0.2)

    asyncio.run(go())
    assert len(told) == 8
    for events in told:
        assert any(isinstance(event, TurnEnded) for event in events) and events[-1] == HungUp("the caller hung up")
