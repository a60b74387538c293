"""The library's SIP server, with what a line that runs for months needs besides."""

from __future__ import annotations

import asyncio

from aiosipua.incoming_call import IncomingCall
from aiosipua.message import SipRequest, SipResponse
from aiosipua.transaction import T1, T2
from aiosipua.uac import SipUAC
from aiosipua.uas import SipUAS

from bedside.phone.transports.rtp import Address
from bedside.phone.transports.sip_udp import UdpTransport

_ANSWER_S = 5.0
_NO_ANSWER = 408


class SipServer(SipUAS):  # type: ignore[misc]
    """Adds to the library: retransmitted INVITEs are no new calls, a broken session description is answered, calls that we end are
    forgotten, and our REFER and BYE are repeated until they are answered."""

    def __init__(self, transport: UdpTransport, client: SipUAC) -> None:
        super().__init__(transport, user_agent="bedside", uac=client)
        self._unanswered: dict[tuple[str | None, str | None], asyncio.Future[int]] = {}

    def forget(self, call: IncomingCall) -> None:
        """Drop a call that is over."""
        call._stop_retransmissions()
        self._calls.pop(call.call_id, None)
        self._remove_invite_transaction(call.invite)

    def refuse(self, request: SipRequest, status: int, reason: str, **headers: str) -> None:
        """Answer a request with an error."""
        self._send_error(request, status, reason, extra_headers=headers)

    async def answer_to(self, request: SipRequest, address: Address) -> int:
        """The status of the final answer to a request just sent, which is repeated as RFC 3261 §17.1.2.2 says; 408 where none comes."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        key = (request.call_id, request.get_header("cseq"))
        self._unanswered[key] = answer
        pause, waited = T1, 0.0
        try:
            while waited < _ANSWER_S:
                await asyncio.wait([answer], timeout=pause)
                if answer.done():
                    return answer.result()
                waited, pause = waited + pause, min(2 * pause, T2)
                self.transport.send(request, address)
            return _NO_ANSWER
        finally:
            del self._unanswered[key]

    def _on_message(self, message: SipRequest | SipResponse, address: Address) -> None:
        if isinstance(message, SipResponse) and message.status_code >= 200:
            answer = self._unanswered.get((message.call_id, message.get_header("cseq")))
            if answer is not None and not answer.done():
                answer.set_result(message.status_code)
        super()._on_message(message, address)

    def _handle_invite(self, request: SipRequest, address: Address) -> None:
        known = self.get_call(request.call_id or "")
        if known is not None and known.invite.get_header("cseq") == request.get_header("cseq"):
            return  # its answer is being repeated until it is acknowledged
        try:
            super()._handle_invite(request, address)
        except (ValueError, IndexError):
            self._remove_invite_transaction(request)
            self.refuse(request, 400, "Bad Session Description")
            raise
