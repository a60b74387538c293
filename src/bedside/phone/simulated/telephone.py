"""The callers' telephone exchange: places calls to a line by SIP, and answers those that the line makes to reception and the nurse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from aiosipua.incoming_call import IncomingCall
from aiosipua.message import SipRequest
from aiosipua.outgoing_call import OutgoingCall
from aiosipua.refer import notify_refer
from aiosipua.sdp import build_sdp, negotiate_sdp
from aiosipua.uac import SipUAC

from bedside.phone.handing_over import ACCEPT
from bedside.phone.media.g711 import A_LAW
from bedside.phone.media.pacer import Pacer
from bedside.phone.simulated.handset import EVENTS, Handset
from bedside.phone.transports.rtp import Address
from bedside.phone.transports.sip_server import SipServer
from bedside.phone.transports.sip_udp import UdpTransport

_HOST = "127.0.0.1"
_ANSWER_S = 10.0
_GOODBYES_S = 0.3


class Person(Handset):
    """Somebody of the practice who answers, listens, and takes every call by pressing the key: again and again, for nothing is heard before
    the whisper has begun.

    Attributes:
        number: the extension that was called.
    """

    _EVERY_TICKS = 100

    def __init__(self, number: str) -> None:
        super().__init__()
        self.number = number

    def next_frame(self) -> bytes:
        """Silence, and the key every two seconds."""
        if self.sent % self._EVERY_TICKS == self._EVERY_TICKS - 1:
            self.press(ACCEPT)
        return A_LAW.silence

    def hear(self, codes: bytes) -> None:
        """Whoever it is, they say nothing."""


class Telephone:
    """Use it as an async context. All calls share one port for SIP and one clock.

    Attributes:
        people: those who answered for the practice, in order.
    """

    def __init__(self, transfers: bool = True) -> None:
        self._transport = UdpTransport((_HOST, 0), lambda _: True)
        self._client = SipUAC(self._transport)
        self._server = SipServer(self._transport, self._client)
        self._server.on_bye = self._hung_up
        self._over: dict[str, Callable[[], object]] = {}
        self.people: list[Person] = []
        self.pacer = Pacer()
        if transfers:
            self._server.on_invite = self._answer
            self._server.on_refer = lambda call, _: notify_refer(call, 200, "OK")

    async def __aenter__(self) -> Self:
        await self._server.start()
        await self.pacer.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.sleep(_GOODBYES_S)  # for the answers to the last BYEs
        await self.pacer.__aexit__(*exception)
        for person in self.people:
            person.close()
        await self._server.stop()

    def dial(self, line: Address, handset: Handset, number: str, over: Callable[[], object] = lambda: None) -> OutgoingCall:
        """Begin a call from `number`; `over` is called when the line hangs up."""
        offer = build_sdp(_HOST, handset.port, A_LAW.payload_type, A_LAW.name, dtmf_payload_type=EVENTS)
        host, port = line
        call = self._client.send_invite(f"sip:{number}@{_HOST}", f"sip:clinic@{host}:{port}", line, offer)
        self._over[call.call_id] = over
        self.pacer.add(handset)
        return call

    async def answered(self, call: OutgoingCall, handset: Handset) -> str:
        """Wait for the line to answer; why it did not, "" where it did."""
        try:
            await call.wait_answered(_ANSWER_S)
        except (TimeoutError, RuntimeError) as error:
            return str(error) or "no answer"
        handset.remote = call.sdp_answer.rtp_address if call.sdp_answer else None
        return ""

    def hang_up(self, call: OutgoingCall, handset: Handset) -> None:
        """End a call, whoever ended it before."""
        self.pacer.discard(handset)
        call.hangup(self._client)
        self._over.pop(call.call_id, None)
        handset.close()

    def _answer(self, call: IncomingCall) -> None:
        """The line calls somebody of the practice."""
        call.advertised_addr = self._transport.local_addr
        person = Person(call.callee)
        answer, _ = negotiate_sdp(call.sdp_offer, _HOST, person.port, supported_codecs=[A_LAW.payload_type], dtmf_payload_type=EVENTS)
        person.remote = call.sdp_offer.rtp_address if call.sdp_offer else None
        self.people.append(person)
        self.pacer.add(person)
        self._over[call.call_id] = lambda: self.pacer.discard(person)
        call.accept(answer)

    def _hung_up(self, call: IncomingCall, _: SipRequest) -> None:
        if (over := self._over.pop(call.call_id, None)) is not None:
            over()
