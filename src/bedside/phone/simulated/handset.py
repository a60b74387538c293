"""A caller's end of RTP: a frame of A-law out every 20 ms, keys, and what comes back (RFC 3550, 4733)."""

from __future__ import annotations

import random
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque

from bedside.phone.leg import FRAME_SAMPLES
from bedside.phone.media.dtmf import KEYS
from bedside.phone.media.g711 import A_LAW
from bedside.phone.transports.rtp import Address

EVENTS = 101
"""Payload type of telephone events."""
_KEY_TICKS = 6
_GAP_TICKS = 4
_VOLUME = 10
_LARGEST = 2048


class Handset(ABC):
    """Ticked by a pacer. A kind of caller says what to send, and takes what comes.

    Attributes:
        remote: where audio goes; None until the call is answered.
        sent, heard, sounding: packets out, in, and those of the latter that were not silence.
        quiet_ticks: ticks since sound last came.
        failed: what broke this end, "" for nothing.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.remote: Address | None = None
        self.sent = self.heard = self.sounding = self.quiet_ticks = 0
        self.failed = ""
        self._keys: deque[str] = deque()
        self._key_tick = self._pressed = 0
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(31)
        self._identity = random.getrandbits(32)

    @abstractmethod
    def next_frame(self) -> bytes:
        """What to send now: 160 codes of A-law."""

    @abstractmethod
    def hear(self, codes: bytes) -> None:
        """Take what came."""

    def press(self, keys: str) -> None:
        """Press keys one after the other, 120 ms each, instead of speaking."""
        self._keys.extend(keys)

    @property
    def pressing(self) -> bool:
        """Keys are still to be pressed."""
        return bool(self._keys)

    def tick(self) -> None:
        """Send one packet, read what came."""
        self._receive()
        if self.remote is None:
            return
        if self._keys:
            self._press()
        else:
            self._send(A_LAW.payload_type, self._timestamp, self.next_frame())
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF

    def fail(self, error: Exception) -> None:
        """The pacer found this end broken."""
        self.failed = repr(error)

    def close(self) -> None:
        """Give the port back."""
        self.socket.close()

    def _press(self) -> None:
        """One packet of a press; its last one is sent three times, and a gap parts it from the next key."""
        if self._key_tick == 0:
            self._pressed = self._timestamp
        if self._key_tick < _KEY_TICKS:
            end = 0x80 if self._key_tick == _KEY_TICKS - 1 else 0
            payload = struct.pack("!BBH", KEYS.index(self._keys[0]), end | _VOLUME, (self._key_tick + 1) * FRAME_SAMPLES)
            for _ in range(3 if end else 1):
                self._send(EVENTS, self._pressed, payload)
        else:
            self._send(A_LAW.payload_type, self._timestamp, A_LAW.silence)
        self._key_tick += 1
        if self._key_tick >= _KEY_TICKS + (_GAP_TICKS if len(self._keys) > 1 else 0):
            self._keys.popleft()
            self._key_tick = 0

    def _send(self, kind: int, timestamp: int, payload: bytes) -> None:
        assert self.remote is not None
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.socket.sendto(struct.pack("!BBHLL", 0x80, kind, self._sequence, timestamp, self._identity) + payload, self.remote)
        self.sent += 1

    def _receive(self) -> None:
        self.quiet_ticks += 1
        while True:
            try:
                codes = self.socket.recv(_LARGEST)[12:]
            except OSError:
                return
            self.heard += 1
            self.hear(codes)
            if codes != A_LAW.silence:
                self.sounding += 1
                self.quiet_ticks = 0
