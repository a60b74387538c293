"""SIP over UDP: the library's transport, with what it lacks."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiosipua.message import SipMessage, SipRequest, SipResponse
from aiosipua.transport import UdpSipTransport, _stamp_via_received

from bedside.errors import BedsideError

log = logging.getLogger(__name__)

_LARGEST = 16_384


class _Protocol(asyncio.DatagramProtocol):
    """The library's own asserts that its transport is a `DatagramTransport`, which asyncio's is only from Python 3.12 on."""

    def __init__(self, owner: UdpTransport) -> None:
        self._owner = owner

    def connection_made(self, transport: Any) -> None:
        self._owner._udp_transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._owner.receive(data, (address[0], address[1]))

    def error_received(self, error: Exception) -> None:
        self._owner.counts["refused by the far end"] += 1


class UdpTransport(UdpSipTransport):  # type: ignore[misc]
    """Binds one port, takes nothing from addresses that are not allowed, and outlives any datagram.

    Attributes:
        local_addr: where it listens; the port is the real one once it has started.
        counts: datagrams dropped, by reason.
    """

    local_addr: tuple[str, int]

    def __init__(self, address: tuple[str, int], allowed: Callable[[str], bool]) -> None:
        super().__init__(local_addr=address)
        self.counts: Counter[str] = Counter()
        self._allowed = allowed

    async def start(self) -> None:
        """Bind.

        Raises:
            BedsideError: the address or port cannot be used.
        """
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Protocol(self), local_addr=self.local_addr)
        except OSError as error:
            host, port = self.local_addr
            raise BedsideError(
                f"SIP cannot listen on {host}:{port} ({error.strerror or error})", "Choose another `host` or `port`, or stop what uses it"
            ) from error
        self.local_addr = transport.get_extra_info("sockname")[:2]

    def receive(self, data: bytes, address: tuple[str, int]) -> None:
        """Take one datagram."""
        if not self._allowed(address[0]):
            self.counts["from a stranger"] += 1
        elif len(data) > _LARGEST:
            self.counts["too long"] += 1
        elif data.strip(b"\r\n\0"):  # the rest are keep-alives (RFC 5626 §3.5.1)
            self._dispatch(data, address)

    def _dispatch(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            message: SipRequest | SipResponse = SipMessage.parse(data)
            if isinstance(message, SipRequest):
                _stamp_via_received(message, address)
            self.on_message(message, address)
        except Exception as error:  # the library parses lazily: a malformed header shows only where it is used, as whatever it breaks
            self.counts["malformed"] += 1
            log.warning("SIP from %s:%d dropped: %s: %s", *address, type(error).__name__, str(error)[:120])
