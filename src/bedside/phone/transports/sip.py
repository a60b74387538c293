"""A SIP line: registered as an extension or trusted as a trunk, it answers calls with audio over RTP (RFC 3261, 3264, 3515).

Neither TLS nor SRTP: across an untrusted network put a session border controller or the PBX in front.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections import Counter
from contextlib import suppress
from typing import Self

from aiosipua.auth import SipDigestAuth
from aiosipua.dialog import DialogState
from aiosipua.headers import parse_uri
from aiosipua.incoming_call import IncomingCall
from aiosipua.message import SipRequest
from aiosipua.registration import Registration, RegistrationState
from aiosipua.sdp import SdpMessage, SdpNegotiationError, build_sdp, negotiate_sdp
from aiosipua.uac import SipUAC

from bedside.errors import BedsideError
from bedside.phone.leg import RATE
from bedside.phone.media.g711 import A_LAW, LAWS
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.transports.rtp import Address, RtpStream
from bedside.phone.transports.sip_leg import SipLeg
from bedside.phone.transports.sip_server import SipServer
from bedside.phone.transports.sip_settings import Networks, SipSettings
from bedside.phone.transports.sip_udp import UdpTransport

log = logging.getLogger(__name__)

_REGISTER_S = 5.0
_SHUTDOWN_S = 2.0
_RING_S = 25.0
_EVENTS = 101
_RETRY_S = (5, 15, 60, 300)
"""Between attempts to register: a registrar that restarts is back soon, one that refuses a password bans who keeps asking."""
_USER = re.compile(r"(?:sips?|tel):([^@;>]+)", re.IGNORECASE)
_WITHHELD = {"anonymous", "unavailable", "unknown", "restricted"}


class SipLine:
    """Takes the calls of one SIP address. Use it as an async context, inside that of its switchboard.

    Attributes:
        status: of the registration, in words.
        counts: calls turned away, by reason.

    Raises:
        BedsideError: on entering: the port is taken, or the registrar's name is unknown.
    """

    def __init__(self, settings: SipSettings, switchboard: Switchboard) -> None:
        self.settings = settings
        self.switchboard = switchboard
        self.status = "not registered" if settings.registrar else "a trunk: no registration"
        self.counts: Counter[str] = Counter()
        allowed = Networks(settings.allowed)
        self._media = Networks(settings.allowed + settings.media_from)
        self.transport = UdpTransport((settings.host, settings.port), allowed.__contains__)
        self._client = SipUAC(self.transport)
        self._server = SipServer(self.transport, self._client)
        self._legs: dict[str, SipLeg] = {}
        self._goodbyes: set[asyncio.Task[int]] = set()
        self._registration: Registration | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def address(self) -> Address:
        """Where the line listens."""
        host, port = self.transport.local_addr
        return host, port

    async def __aenter__(self) -> Self:
        self._server.on_invite = self._answer
        self._server.on_reinvite = self._renegotiate
        self._server.on_bye = self._far_end_hung_up
        self._server.on_cancel = self._cancelled
        self._server.on_ack_timeout = self._never_confirmed
        self._server.on_transfer_progress = self._transfer_progress
        await self._server.start()
        if self.settings.registrar:
            try:
                await self._start_registration()
            except BedsideError:
                await self._server.stop()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for leg in tuple(self._legs.values()):
            leg.end("the line is shut down", far_end=False)
        if self._goodbyes:
            unanswered = (await asyncio.wait(tuple(self._goodbyes), timeout=_SHUTDOWN_S))[1]
            for goodbye in unanswered:
                goodbye.cancel()
        await self._unregister()
        await self._server.stop()

    # Calls

    def _answer(self, call: IncomingCall) -> None:
        """A new call: take it, or say at once where else it may go."""
        call.advertised_addr = (self._host_towards(call.source_addr[0]), self.address[1])
        if not self.switchboard.has_room():
            self._turn_away(call)
            return
        try:
            leg, answer = self._negotiated(call)
        except (SdpNegotiationError, ValueError) as error:
            self._reject(call, 488, "Not Acceptable Here", f"no common audio ({error})")
        except BedsideError as error:
            self._reject(call, 503, "Service Unavailable", str(error))
        else:
            self._legs[call.call_id] = leg
            call.accept(answer)
            self.switchboard.connect(leg)

    def _negotiated(self, call: IncomingCall) -> tuple[SipLeg, SdpMessage]:
        """A leg and the answer to the caller's offer.

        Raises:
            ValueError: there is no offer (it would come with the ACK, which few still do).
            SdpNegotiationError: neither A-law nor µ-law is offered.
            BedsideError: no port is free.
        """
        offer = call.sdp_offer
        if offer is None:
            raise ValueError("the INVITE offers none")
        host = self.settings.host
        remote = self._remote(offer)
        rtp = RtpStream(host, self.settings.rtp_ports, A_LAW, _events_type(offer), remote, self._media.__contains__)
        try:
            answer = self._agree(call, offer, rtp)
        except BaseException:
            rtp.close()
            raise
        invite = call.invite
        caller = "" if "id" in (invite.get_header("privacy") or "") else _user(invite.get_header("p-asserted-identity") or call.caller)
        peer = call.source_addr
        return SipLeg(self, call.dialog, peer, self._host_towards(peer[0]), rtp, (caller, _user(invite.uri))), answer

    def _agree(self, call: IncomingCall, offer: SdpMessage, rtp: RtpStream) -> SdpMessage:
        """Choose the first law that the far end offers, and its number for telephone events."""
        events = _events_type(offer)
        host = self._host_towards(call.source_addr[0])
        answer, chosen = negotiate_sdp(offer, host, rtp.port, supported_codecs=list(LAWS), dtmf_payload_type=events or 0)
        rtp.law, rtp.events = LAWS[chosen], events
        return answer

    def _remote(self, offer: SdpMessage) -> Address | None:
        """Where to send audio before any has come; None, where that address is none or not trusted: nobody makes us flood a third party."""
        host, port = offer.rtp_address or ("", 0)
        return (host, port) if host in self._media and 0 < port < 65536 and not ipaddress.ip_address(host).is_unspecified else None

    def _renegotiate(self, call: IncomingCall) -> None:
        """The far end changes the call in the middle: hold, another address, another law."""
        leg = self._legs.get(call.call_id)
        if leg is None or call.sdp_offer is None:
            self._server.refuse(call.invite, 481, "Call/Transaction Does Not Exist")
            return
        try:
            answer = self._agree(call, call.sdp_offer, leg.rtp)
        except SdpNegotiationError:
            self._server.refuse(call.invite, 488, "Not Acceptable Here")
            return
        leg.rtp.redirect(self._remote(call.sdp_offer))
        call.accept(answer)

    def _turn_away(self, call: IncomingCall) -> None:
        """No room: send the caller to the overflow target, or say busy."""
        target = self.switchboard.overflow
        if target:
            self._reject(
                call, 302, "Moved Temporarily", "no room, sent to the overflow target", Contact=f"<{self._uri(target, call.source_addr)}>"
            )
        else:
            self._reject(call, 486, "Busy Here", "no room")

    def _reject(self, call: IncomingCall, status: int, reason: str, why: str, **headers: str) -> None:
        self.counts[f"{status} {reason}"] += 1
        log.warning("call from %s:%d turned away with %d: %s", *call.source_addr, status, why)
        self._server.refuse(call.invite, status, reason, **headers)
        self._server.forget(call)

    async def refer(self, leg: SipLeg, target: str) -> int:
        """Send a REFER; the status of its answer."""
        self._client.advertised_addr = (leg.host, self.address[1])
        request = self._client.send_refer(leg.dialog, self._uri(target, leg.peer), leg.peer)
        return await self._server.answer_to(request, leg.peer)

    async def dial(self, target: str, caller: SipLeg) -> SipLeg | None:
        """Call somebody through the PBX that a caller came from, or directly at a SIP address that is allowed; None where nobody answers."""
        uri = self._uri(target, caller.peer)
        rtp = RtpStream(self.settings.host, self.settings.rtp_ports, A_LAW, _EVENTS, None, self._media.__contains__)
        offer = build_sdp(caller.host, rtp.port, A_LAW.payload_type, A_LAW.name, dtmf_payload_type=_EVENTS)
        self._client.advertised_addr = (caller.host, self.address[1])
        user = self.settings.user or caller.called
        call = self._client.send_invite(f"sip:{user}@{caller.host}", uri, self._peer(uri) or caller.peer, offer, auth=self._auth())
        try:
            await call.wait_answered(_RING_S)
        except BaseException as error:
            rtp.close()
            call.cancel(self._client)
            if not isinstance(error, TimeoutError | RuntimeError):
                raise
            self.counts["dialled and not answered"] += 1
            return None
        rtp.redirect(self._remote(call.sdp_answer) if call.sdp_answer else None)
        leg = SipLeg(self, call.dialog, call.remote_addr, caller.host, rtp, (caller.called, target))
        self._legs[leg.far_id] = leg
        self.switchboard.pacer.add(leg)
        return leg

    def leave(self, leg: SipLeg, far_end: bool) -> None:
        """A leg is over; unless the far end ended it, say goodbye until that is answered."""
        self._legs.pop(leg.far_id, None)
        self.switchboard.pacer.discard(leg)
        if not far_end and leg.dialog.state == DialogState.CONFIRMED:
            self._client.advertised_addr = (leg.host, self.address[1])
            request = self._client.send_bye(leg.dialog, leg.peer)
            goodbye = asyncio.create_task(self._server.answer_to(request, leg.peer), name=f"BYE {leg.id}")
            self._goodbyes.add(goodbye)
            goodbye.add_done_callback(self._goodbyes.discard)
        self._client.remove_call(leg.far_id)
        if (call := self._server.get_call(leg.far_id)) is not None:
            self._server.forget(call)

    def _far_end_hung_up(self, call: IncomingCall, _: SipRequest) -> None:
        if (leg := self._legs.get(call.call_id)) is not None:
            leg.end("the caller hung up", far_end=True)

    def _cancelled(self, request: SipRequest, _: Address) -> None:
        """The caller gave up in the moment we answered: the call stands, and has to be ended."""
        if (leg := self._legs.get(request.call_id or "")) is not None:
            leg.end("the caller hung up", far_end=False)

    def _never_confirmed(self, call: IncomingCall) -> None:
        if (leg := self._legs.get(call.call_id)) is not None:
            leg.end("the far end never confirmed the call", far_end=True)

    def _transfer_progress(self, call_id: str, status: int, _: str) -> None:
        if (leg := self._legs.get(call_id)) is not None:
            leg.transfer_progress(status)

    # Registration

    async def _start_registration(self) -> None:
        host, _, port = self.settings.registrar.partition(":")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, int(port or 5060), family=socket.AF_INET, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise BedsideError(
                f"the SIP registrar {host!r} is unknown ({error.strerror})", "Correct `registrar`, or check the DNS"
            ) from error
        registrar: Address = found[0][4][:2]  # type: ignore[assignment]  # IPv4 only: host and port
        self._client.advertised_addr = (self._host_towards(registrar[0]), self.address[1])
        user = self.settings.user
        self._registration = Registration(
            self._client, f"sip:{user}@{host}", registrar, expires=self.settings.expires_s, auth=self._auth(), user_agent="bedside"
        )
        self._keeper = asyncio.create_task(self._stay_registered(self._registration), name="SIP registration")

    async def _stay_registered(self, registration: Registration) -> None:
        """Register, again after half of the time granted, and sooner after a failure; a lost datagram is such a failure."""
        failures = 0
        while True:
            answered = asyncio.Event()
            registration.on_registered = lambda _, answered=answered: answered.set()
            registration.on_failed = lambda _, status, reason, answered=answered: self._refused(status, reason, answered)
            self.status = "no answer from the registrar"
            registration.register()
            with suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), _REGISTER_S)
            if registration.state == RegistrationState.REGISTERED:
                failures = 0
                self.status = f"registered for {registration.granted_expires} s"
                await asyncio.sleep(registration.granted_expires / 2)
            else:
                log.warning("SIP registration of %s at %s: %s", self.settings.user, self.settings.registrar, self.status)
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    def _refused(self, status: int, reason: str, answered: asyncio.Event) -> None:
        hint = "; check `user` and `password`" if status in (401, 403, 407) else ""
        self.status = f"refused by the registrar with {status} {reason}{hint}"
        answered.set()

    async def _unregister(self) -> None:
        if self._keeper is None or self._registration is None:
            return
        self._keeper.cancel()
        if self._registration.state == RegistrationState.REGISTERED:
            self._registration.unregister()
            for _ in range(20):  # a registrar that does not answer lets the registration run out
                await asyncio.sleep(0.05)
                if self._registration.state != RegistrationState.REGISTERED:
                    return

    # Addresses

    def _host_towards(self, peer: str) -> str:
        """Our address as `peer` sees it."""
        if self.settings.advertised:
            return self.settings.advertised
        if not ipaddress.ip_address(self.address[0]).is_unspecified:
            return self.address[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))  # chooses a route; a datagram socket sends nothing by that
            host: str = probe.getsockname()[0]
        return host

    def _auth(self) -> SipDigestAuth | None:
        return SipDigestAuth(self.settings.user, self.settings.password) if self.settings.user else None

    def _peer(self, uri: str) -> Address | None:
        """The network address that a SIP address names, where it is one that we may talk with directly."""
        found = parse_uri(uri)
        return (found.host, found.port or 5060) if found.host in self._media else None

    def _uri(self, target: str, peer: Address) -> str:
        """A target as a SIP address; numbers and extensions are those of the PBX at `peer`."""
        if target.lower().startswith(("sip:", "sips:")):
            return target
        number = re.sub(r"[^0-9+*#]", "", target)
        host = self.settings.registrar or "{}:{}".format(*peer)
        return f"sip:{number}@{host}"


def _user(uri: str) -> str:
    """The number or name of a SIP or tel address; "" where it is withheld."""
    found = _USER.search(uri)
    user = found[1].partition(";")[0].strip() if found else ""
    return "" if user.lower() in _WITHHELD else user


def _events_type(offer: SdpMessage) -> int | None:
    """The payload type that the offer gives to telephone events at our rate."""
    codecs = offer.audio.codecs if offer.audio else []
    return next((c.payload_type for c in codecs if c.encoding_name.lower() == "telephone-event" and c.clock_rate == RATE), None)
