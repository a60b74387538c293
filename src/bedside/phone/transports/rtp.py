"""One call's RTP (RFC 3550, 3551): a socket that the pacer reads and writes every 20 ms.

The socket is not registered with the event loop: a packet is played at a tick at the earliest, so it is fetched at the tick.
"""

from __future__ import annotations

import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from aiortp.packet import RtpPacket, is_rtcp

from bedside.errors import BedsideError
from bedside.phone.leg import FRAME_SAMPLES, Audio
from bedside.phone.media.dtmf import TelephoneEvents
from bedside.phone.media.g711 import LAWS, Law
from bedside.phone.media.jitter import Concealer, JitterBuffer

Address = tuple[str, int]

_LARGEST = 2048
_MOST_A_TICK = 50
"""Packets read in one tick; a flood stays in the kernel's buffer, where it overwrites itself."""
_COMFORT_NOISE = 13
_VERSION_2 = 0x80
_FORSAKEN_TICKS = 50
"""A far end silent for a second may have moved to another port; nobody else can take over a call whose audio flows."""


def bound_socket(host: str, ports: tuple[int, int]) -> socket.socket:
    """A UDP socket on an even port of the range, or on any free port for (0, 0).

    Raises:
        BedsideError: no port of the range is free.
    """
    first, last = ports
    candidates = list(range(first + first % 2, last + 1, 2))
    # From anywhere in the range, so that a port is not taken again at once while late packets of the last call still come in.
    offset = random.randrange(len(candidates))
    for port in candidates[offset:] + candidates[:offset]:
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        found.setblocking(False)
        with suppress(OSError):
            found.bind((host, port))
            return found
        found.close()
    raise BedsideError(
        f"no UDP port from {first} to {last} is free for a call's audio on {host!r}", "Widen `rtp_ports`, or lower the limit of calls"
    )


class RtpStream:
    """Both directions of one call's audio.

    Args:
        host: address to receive on.
        ports: range of ports.
        law: companding of what is sent; both laws are understood.
        events: payload type of telephone events, or None.
        remote: where audio goes until the far end has sent some; None waits for that.
        trusted: whether packets from this address may be the caller's.

    Attributes:
        law, events: as agreed; may change in the middle of a call.
        silent_ticks: ticks since the last packet of any kind came from the far end.
    """

    def __init__(
        self, host: str, ports: tuple[int, int], law: Law, events: int | None, remote: Address | None, trusted: Callable[[str], bool]
    ) -> None:
        self.law = law
        self.events = events
        self.counts: Counter[str] = Counter()
        self.jitter = JitterBuffer()
        self.silent_ticks = 0
        self._socket = bound_socket(host, ports)
        self.port: int = self._socket.getsockname()[1]
        self._remote = remote
        self._trusted = trusted
        self._latched: Address | None = None
        self._source: int | None = None
        self._keys = TelephoneEvents()
        self._concealer = Concealer()
        self._playing = False
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._identity = random.getrandbits(32)

    def redirect(self, remote: Address | None) -> None:
        """The far end moves its media: send there until audio comes from elsewhere."""
        self._remote, self._latched = remote, None

    def receive(self) -> tuple[Audio | None, list[str]]:
        """The frame of this tick, None before the first audio, and the keys pressed."""
        self.silent_ticks += 1
        keys: list[str] = []
        for _ in range(_MOST_A_TICK):
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            except OSError:  # an earlier packet of ours met a closed port
                self.counts["refused by the far end"] += 1
                continue
            key = self._packet(data, address[:2])
            if key is not None:
                keys.append(key)
        frame = self.jitter.pop()
        if frame is not None:
            self._playing = True
            return Audio(self._concealer.heard(frame)), keys
        return (Audio(self._concealer.missed(), lost=True) if self._playing else None), keys

    def send(self, pcm: bytes | None) -> None:
        """Send one frame; None sends silence, which keeps ways through firewalls open."""
        payload = self.law.silence if pcm is None else self.law.encode(pcm)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if self._remote is None:
            return
        header = struct.pack("!BBHLL", _VERSION_2, self.law.payload_type, self._sequence, self._timestamp, self._identity)
        try:
            self._socket.sendto(header + payload, self._remote)
        except OSError:  # no route, or a full buffer: audio that cannot leave now is of no use later
            self.counts["not sent"] += 1

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def _packet(self, data: bytes, address: Address) -> str | None:
        """Take one packet; the key, where it begins a key press."""
        if address != self._latched and not self._may_latch(address):
            self.counts["from a stranger"] += 1
            return None
        if is_rtcp(data):
            self.silent_ticks = 0
            return None
        try:
            packet = RtpPacket.parse(data)
        except (ValueError, IndexError):
            self.counts["malformed"] += 1
            return None
        self.silent_ticks = 0
        self._follow(packet.ssrc, address)
        if packet.payload_type == self.events:
            return self._keys.receive(packet.timestamp, packet.payload)
        law = LAWS.get(packet.payload_type)
        if law is not None:
            self.jitter.put(packet.timestamp, law.decode(packet.payload))
        elif packet.payload_type != _COMFORT_NOISE:
            self.counts["of an unknown payload type"] += 1
        return None

    def _may_latch(self, address: Address) -> bool:
        return (self._latched is None or self.silent_ticks > _FORSAKEN_TICKS) and self._trusted(address[0])

    def _follow(self, source: int, address: Address) -> None:
        """Answer to where the audio comes from (symmetric RTP, RFC 4961), and start anew when another source sends it."""
        self._latched = self._remote = address
        if source != self._source:
            if self._source is not None:
                self.jitter.reset()
                self._keys = TelephoneEvents()
                self.counts["changes of source"] += 1
            self._source = source
