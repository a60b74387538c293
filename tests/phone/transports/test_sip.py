"""The SIP line, called over the loopback by callers of another make and by hostile ones."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiosipua.refer import notify_refer
from aiosipua.sdp import build_sdp
from aiosipua.uac import SipUAC
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bedside.errors import BedsideError
from bedside.phone.leg import FRAME_BYTES, FRAME_SAMPLES, Audio, CallLeg, Digit, HungUp, LegEvent, Played
from bedside.phone.media.bridge import join
from bedside.phone.media.g711 import A_LAW
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.simulated.load_callers import LoopingCaller, converse
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_server import SipServer
from bedside.phone.transports.sip_settings import SipSettings
from bedside.phone.transports.sip_udp import UdpTransport

LOCAL = {"host": "127.0.0.1", "port": 0, "rtp_ports": (0, 0)}
SAID = A_LAW.encode((6000 * np.sin(np.arange(FRAME_SAMPLES) / 3)).astype("<i2").tobytes())
TONE = np.full(FRAME_BYTES // 2, 3000, dtype="<i2").tobytes()

Answer = Callable[[CallLeg], Awaitable[None]]


class Kept:
    """Answers calls by keeping what they tell."""

    def __init__(self) -> None:
        self.calls: dict[str, list[LegEvent]] = {}
        self.legs: list[CallLeg] = []

    async def __call__(self, leg: CallLeg) -> None:
        self.legs.append(leg)
        events = self.calls.setdefault(leg.far_id, [])  # type: ignore[attr-defined]
        async for event in leg.events():
            events.append(event)


@asynccontextmanager
async def line_up(answer: Answer, limit: int = 20, overflow: str = "", **settings: object) -> AsyncIterator[SipLine]:
    async with Switchboard(answer, limit, overflow) as switchboard, SipLine(SipSettings(**(LOCAL | settings)), switchboard) as line:  # type: ignore[arg-type]
        yield line
        for leg in tuple(line._legs.values()):
            leg.end("the test is over", far_end=True)  # no goodbye: the raw peers of these tests would not answer it


class Phone:
    """A raw SIP peer: sends text, receives text."""

    def __init__(self, line: SipLine) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self._line = line.address

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, message: bytes) -> None:
        self.socket.sendto(message, self._line)

    async def answer(self, wait: float = 2.0, skip: tuple[int, ...] = (100,), about: str = "") -> str:
        """The next message about a call that is none of the statuses to skip; "" for none."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                text = (await asyncio.wait_for(loop.sock_recv(self.socket, 65_536), wait)).decode()
                if f"Call-ID: {about}" in text and not any(text.startswith(f"SIP/2.0 {status} ") for status in skip):
                    return text
        except TimeoutError:
            return ""

    def request(
        self,
        method: str,
        call: str = "call-1",
        branch: str = "z9hG4bK1",
        cseq: int = 1,
        to_tag: str = "",
        body: str | None = None,
        **headers: str,
    ) -> bytes:
        lines = [
            f"{method} sip:clinic@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch}",
            "From: <sip:0491570156@127.0.0.1>;tag=them",
            f"To: <sip:clinic@127.0.0.1>{to_tag and ';tag=' + to_tag}",
            f"Call-ID: {call}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:them@127.0.0.1:{self.port}>",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        if body is not None:
            lines.append("Content-Type: application/sdp")
        body = body or ""
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]) + body).encode()


def offer(formats: str = "8 101", more: str = "a=rtpmap:101 telephone-event/8000\r\n") -> str:
    return f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP {formats}\r\n{more}"


def to_tag(answer: str) -> str:
    found = re.search(r"^To:.*;tag=(\S+)", answer, re.MULTILINE)
    return found[1] if found else ""


def run(coroutine: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))  # type: ignore[arg-type]


def test_calls_give_audio_both_ways_and_every_key_and_end_when_the_caller_hangs_up() -> None:
    told: dict[str, list[LegEvent]] = {}

    async def answer(leg: CallLeg) -> None:
        leg.play(TONE * 25, "welcome")
        async for event in leg.events():
            told.setdefault(leg.caller, []).append(event)

    async def go() -> None:
        callers = [LoopingCaller([SAID], keys=True, keep=True) for _ in range(3)]
        async with line_up(answer) as line:
            await converse(line.address, callers, 3)
            assert line.switchboard.calls == 0
        assert sorted(told) == ["0491570100", "0491570101", "0491570102"]
        for caller, events in zip(callers, (told[number] for number in sorted(told)), strict=True):
            heard = [event.pcm for event in events if isinstance(event, Audio) and not event.lost]
            assert caller.tally.answered and set(heard) == {A_LAW.decode(SAID)} and len(heard) > 50
            assert Played("welcome", 500, complete=True) in events and events[-1] == HungUp("the caller hung up")
            assert sum(isinstance(event, Digit) for event in events) == caller.tally.keys
            assert caller.tally.sounding == 25 and A_LAW.encode(TONE * 25) in bytes(caller.kept)

    run(go())


def test_barge_in_is_silence_on_the_wire_at_once() -> None:
    async def answer(leg: CallLeg) -> None:
        leg.play(TONE * 500, "long")
        frames = 0
        async for event in leg.events():
            frames += isinstance(event, Audio)
            if frames == 20:
                leg.clear()

    async def go() -> None:
        caller = LoopingCaller([SAID], keep=True)
        async with line_up(answer) as line:
            await converse(line.address, [caller], 3)
        tone = bytes(caller.kept).rindex(A_LAW.encode(TONE[:2]))
        assert 5 <= caller.tally.sounding < 60
        assert set(caller.kept[tone + 1 :]) == {A_LAW.silence[0]} and len(caller.kept) - tone > 10 * FRAME_SAMPLES

    run(go())


@pytest.mark.parametrize(
    ("overflow", "status", "contact"), [("", "486 Busy Here", ""), ("02 5550 1235", "302 Moved Temporarily", "sip:0255501235@127.0.0.1")]
)
def test_ten_times_the_calls_admitted_are_turned_away_and_the_admitted_go_on(overflow: str, status: str, contact: str) -> None:
    async def go() -> None:
        kept = Kept()
        async with line_up(kept, limit=2, overflow=overflow) as line:
            phone = Phone(line)
            answers = []
            for number in range(20):
                phone.send(phone.request("INVITE", call=f"call-{number}", branch=f"z9hG4bK{number}", body=offer()))
                answers.append(await phone.answer(about=f"call-{number}\r\n"))
            assert [a.startswith("SIP/2.0 200") for a in answers] == [True] * 2 + [False] * 18
            assert all(a.startswith(f"SIP/2.0 {status}") and contact in a for a in answers[2:])
            assert line.switchboard.counts["refused"] == 18 and line.switchboard.calls == 2

    run(go())


def test_a_retransmitted_invite_is_one_call_and_its_bye_ends_it() -> None:
    async def go() -> None:
        kept = Kept()
        async with line_up(kept) as line:
            phone = Phone(line)
            invite = phone.request("INVITE", body=offer())
            phone.send(invite)
            phone.send(invite)
            ok = await phone.answer()
            assert ok.startswith("SIP/2.0 200") and "m=audio" in ok
            phone.send(phone.request("ACK", branch="z9hG4bK2", to_tag=to_tag(ok)))
            phone.send(invite)
            assert (await phone.answer(0.7)) in ("", ok)
            assert line.switchboard.counts["admitted"] == 1
            phone.send(phone.request("BYE", branch="z9hG4bK3", cseq=2, to_tag=to_tag(ok)))
            assert (await phone.answer()).startswith("SIP/2.0 200")
        assert kept.calls["call-1"][-1] == HungUp("the caller hung up")

    run(go())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (offer("9 18", ""), 488),
        (None, 488),
        ("v=0\r\nm=audio what RTP/AVP 8\r\n", 400),
        ("v=0\r\nm=audio 40000 RTP/AVP 8\r\na=rtpmap:x PCMA/8000\r\n", 400),
        ("v=0\r\nm=video 40000 RTP/AVP 96\r\n", 488),
        ("\0\xff", 488),
    ],
    ids=["no common law", "no offer", "no port", "broken rtpmap", "video", "binary"],
)
def test_an_offer_that_cannot_be_met_is_answered_so(body: str | None, status: int) -> None:
    async def go() -> None:
        async with line_up(Kept()) as line:
            phone = Phone(line)
            phone.send(phone.request("INVITE", body=body))
            assert (await phone.answer()).startswith(f"SIP/2.0 {status} ")
            assert line.switchboard.calls == 0

    run(go())


def test_audio_is_never_sent_to_a_third_party_that_an_offer_names() -> None:
    async def go() -> None:
        async with line_up(Kept()) as line:
            phone = Phone(line)
            phone.send(phone.request("INVITE", body=offer().replace("c=IN IP4 127.0.0.1", "c=IN IP4 192.0.2.9")))
            assert (await phone.answer()).startswith("SIP/2.0 200")
            (leg,) = line._legs.values()
            assert leg.rtp._remote is None

    run(go())


def test_a_call_id_with_a_path_in_it_names_no_file() -> None:
    async def go() -> None:
        kept = Kept()
        async with line_up(kept) as line:
            phone = Phone(line)
            phone.send(phone.request("INVITE", call="../../etc/passwd", body=offer()))
            assert (await phone.answer()).startswith("SIP/2.0 200")
            await asyncio.sleep(0.05)
            assert re.fullmatch("[0-9a-f]{32}", kept.legs[0].id)

    run(go())


def test_strangers_are_not_answered() -> None:
    async def go() -> None:
        async with line_up(Kept(), allowed=("192.0.2.0/24",)) as line:
            phone = Phone(line)
            phone.send(phone.request("OPTIONS"))
            assert await phone.answer(0.3) == ""
            assert line.transport.counts["from a stranger"] == 1

    run(go())


def test_a_caller_who_vanishes_is_hung_up_on_and_the_bye_repeated_until_it_is_answered() -> None:
    async def go() -> None:
        kept = Kept()
        async with line_up(kept, silent_s=1) as line:
            phone = Phone(line)
            phone.send(phone.request("INVITE", body=offer()))
            ok = await phone.answer()
            phone.send(phone.request("ACK", branch="z9hG4bK2", to_tag=to_tag(ok)))
            first = await phone.answer(4, skip=(100, 200))
            again = await phone.answer(2, skip=(100, 200))
            assert first.startswith("BYE ") and again == first
            headers = "\r\n".join(line for line in first.split("\r\n") if line.startswith(("Via", "From", "To", "Call-ID", "CSeq")))
            phone.send(f"SIP/2.0 200 OK\r\n{headers}\r\nContent-Length: 0\r\n\r\n".encode())
            assert await phone.answer(1.5) == ""
        assert kept.calls["call-1"][-1] == HungUp("no packet from the caller for 1 s")

    run(go())


def test_hold_and_resume_are_agreed() -> None:
    async def go() -> None:
        async with line_up(Kept()) as line:
            phone = Phone(line)
            phone.send(phone.request("INVITE", body=offer()))
            ok = await phone.answer()
            tag = to_tag(ok)
            phone.send(phone.request("ACK", branch="z9hG4bK2", to_tag=tag))
            phone.send(phone.request("INVITE", branch="z9hG4bK3", cseq=2, to_tag=tag, body=offer("0", "a=sendonly\r\n")))
            again = await phone.answer()
            assert "CSeq: 2 INVITE" in again and "a=recvonly" in again and " 0\r\n" in again
            assert line.switchboard.calls == 1

    run(go())


@pytest.mark.parametrize(("status", "took"), [(200, True), (486, False)])
def test_a_blind_transfer_asks_the_far_end_and_believes_what_it_reports(status: int, took: bool) -> None:
    outcome: list[bool] = []

    async def answer(leg: CallLeg) -> None:
        outcome.append(await leg.transfer("02 5550 1235"))
        if not outcome[0]:
            await leg.hang_up()

    async def go() -> None:
        transport = UdpTransport(("127.0.0.1", 0), lambda _: True)
        client = SipUAC(transport)
        server = SipServer(transport, client)
        targets: list[str] = []

        def referred(call: object, target: str) -> None:
            targets.append(target)
            notify_refer(call, status)

        server.on_refer = referred
        ended = asyncio.Event()
        server.on_bye = lambda *_: ended.set()
        await server.start()
        async with line_up(answer) as line:
            host, port = line.address
            session = build_sdp("127.0.0.1", 40_000, A_LAW.payload_type, A_LAW.name)
            call = client.send_invite("sip:0491570156@127.0.0.1", f"sip:clinic@{host}:{port}", line.address, session)
            await call.wait_answered(5)
            await asyncio.wait_for(ended.wait(), 10)
        await server.stop()
        assert targets[0].startswith("sip:0255501235@127.0.0.1")

    run(go())
    assert outcome == [took]


def test_a_warm_transfer_whispers_to_the_human_and_then_joins_both() -> None:
    whisper = np.full(FRAME_BYTES // 2, -5000, dtype="<i2").tobytes()
    human_heard: list[bytes] = []

    async def human(leg: CallLeg) -> None:
        leg.play(TONE * 200)
        async for event in leg.events():
            if isinstance(event, Audio):
                human_heard.append(event.pcm)

    async def go() -> None:
        async with line_up(human) as doctor:

            async def answer(leg: CallLeg) -> None:
                found = await leg.consult("sip:doctor@{}:{}".format(*doctor.address))
                assert found is not None
                found.play(whisper * 5, "whisper")
                async for event in found.events():
                    if isinstance(event, Played):
                        break
                await join(leg, found)

            caller = LoopingCaller([SAID], keep=True)
            async with line_up(answer) as line:
                await converse(line.address, [caller], 3)
                await asyncio.sleep(0.2)
                assert line.switchboard.calls == doctor.switchboard.calls == 0 and not line._legs
            coded = A_LAW.decode(A_LAW.encode(whisper))
            assert human_heard.count(coded) >= 4
            after = human_heard[len(human_heard) - human_heard[::-1].index(coded) :]
            assert after.count(A_LAW.decode(SAID)) > 40
            assert bytes(caller.kept).count(A_LAW.encode(TONE)) > 40 and A_LAW.encode(whisper) not in bytes(caller.kept)

    run(go())


def test_nobody_answers_a_consultation_and_the_call_goes_on() -> None:
    outcome: list[object] = []

    async def answer(leg: CallLeg) -> None:
        outcome.append(await leg.consult("sip:doctor@{}:{}".format(*outcome.pop())))  # type: ignore[misc]
        leg.play(TONE * 10)
        async for _ in leg.events():
            pass

    async def go() -> None:
        async with line_up(Kept(), limit=0) as busy:
            outcome.append(busy.address)
            caller = LoopingCaller([SAID])
            async with line_up(answer) as line:
                await converse(line.address, [caller], 1.5)
                assert line.counts["dialled and not answered"] == 1
            assert outcome == [None] and caller.tally.sounding == 10

    run(go())


class Registrar(asyncio.DatagramProtocol):
    """Challenges with a digest (RFC 7616, MD5, qop=auth) and keeps who got in."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.registered: list[str] = []
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        text = data.decode()
        headers = "\r\n".join(line for line in text.split("\r\n") if line.startswith(("Via", "From", "To", "Call-ID", "CSeq")))
        given = dict(re.findall(r'(\w+)="?([^",\s]+)"?', (re.search(r"^Authorization: Digest (.*)$", text, re.MULTILINE) or [""] * 2)[1]))
        if given and given["response"] == self._expected(given):
            self.registered.append((re.search(r"^Expires: (\d+)", text, re.MULTILINE) or [""] * 2)[1])
            reply = f"SIP/2.0 200 OK\r\n{headers}\r\nExpires: 60\r\n"
        elif given:
            self.refused += 1
            reply = f"SIP/2.0 403 Forbidden\r\n{headers}\r\n"
        else:
            reply = f'SIP/2.0 401 Unauthorized\r\n{headers}\r\nWWW-Authenticate: Digest realm="clinic", nonce="n1", qop="auth", algorithm=MD5\r\n'
        self.transport.sendto(f"{reply}Content-Length: 0\r\n\r\n".encode(), address)  # type: ignore[attr-defined]

    def _expected(self, given: dict[str, str]) -> str:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        first, second = md5(f"601:clinic:{self.password}"), md5(f"REGISTER:{given['uri']}")
        return md5(f"{first}:n1:{given['nc']}:{given['cnonce']}:auth:{second}")


@pytest.mark.parametrize(
    ("password", "status"),
    [("right", "registered for 60 s"), ("wrong", "refused by the registrar with 403 Forbidden; check `user` and `password`")],
)
def test_it_registers_as_an_extension_and_tells_when_it_may_not(password: str, status: str) -> None:
    async def go() -> None:
        transport, registrar = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Registrar("right"), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        async with line_up(Kept(), registrar=f"127.0.0.1:{port}", user="601", password=password) as line:
            for _ in range(50):
                await asyncio.sleep(0.05)
                if line.status == status:
                    break
            assert line.status == status
        transport.close()
        # Leaving unregisters: the last thing asked for is an expiry of nothing.
        assert registrar.registered == (["300", "0"] if password == "right" else []) and registrar.refused == (password == "wrong")

    run(go())


def test_faulty_settings_are_told() -> None:
    for wrong in (
        {"allowed": ("the pbx",)},
        {"rtp_ports": (9000, 8000)},
        {"registrar": "pbx"},
        {"registrar": "pbx:x", "user": "6"},
        {"port": 70_000},
        {"tls": True},
    ):
        with pytest.raises(ValidationError):
            SipSettings(**wrong)
    assert "secret" not in repr(SipSettings(user="601", password="secret"))


def test_a_port_in_use_is_told() -> None:
    async def go() -> None:
        async with line_up(Kept()) as line:
            with pytest.raises(BedsideError, match=r"SIP cannot listen on 127\.0\.0\.1"):
                async with line_up(Kept(), port=line.address[1]):
                    pass

    run(go())


HEADERS = [
    b"Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9",
    b"From: <sip:a@b>;tag=1",
    b"To: <sip:c@d>",
    b"Call-ID: x",
    b"CSeq: 1 INVITE",
    b"Contact: <sip:a@127.0.0.1>",
    b"Content-Type: application/sdp",
]
STARTS = [
    b"INVITE sip:c@d SIP/2.0",
    b"BYE sip:c@d SIP/2.0",
    b"CANCEL sip:c@d SIP/2.0",
    b"ACK sip:c@d SIP/2.0",
    b"REFER sip:c@d SIP/2.0",
    b"SIP/2.0 200 OK",
    b"SIP/2.0 abc",
]
BODIES = [b"", b"v=0\r\nm=audio 1 RTP/AVP 8\r\n", b"v=x\r\n", b"m=audio -5 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\n"]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Something like SIP, with headers lost, doubled and bitten into."""
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=9)) if draw(st.booleans()) else list(HEADERS)
    message = bytearray(
        b"\r\n".join([draw(st.sampled_from(STARTS)), *headers, b"", draw(st.sampled_from(BODIES)) + draw(st.binary(max_size=20))])
    )
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(message) - 1))
        message[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(message)


@settings(deadline=None, max_examples=12)
@given(st.lists(st.one_of(messages(), st.binary(max_size=60)), min_size=1, max_size=25))
def test_nonsense_stops_nobody(datagrams: list[bytes]) -> None:
    async def go() -> None:
        kept = Kept()
        async with line_up(kept) as line:
            phone, vandal = Phone(line), Phone(line)
            phone.send(phone.request("INVITE", body=offer()))
            ok = await phone.answer()
            for data in datagrams:
                vandal.send(data)
            await asyncio.sleep(0.02)
            phone.send(phone.request("ACK", branch="z9hG4bK2", to_tag=to_tag(ok)))
            phone.send(phone.request("BYE", branch="z9hG4bK3", cseq=2, to_tag=to_tag(ok)))
            assert (await phone.answer(skip=(100,))).startswith("SIP/2.0 200")
        assert kept.calls["call-1"][-1] == HungUp("the caller hung up")

    run(go())
