"""Keys out of telephone-event packets (RFC 4733)."""

from __future__ import annotations

import struct

from bedside.phone.leg import RATE

KEYS = "0123456789*#ABCD"
"""Event codes 0 to 15, in order."""

_HALF = 1 << 31
_SAME_PRESS = RATE // 10
"""Samples between the end of one packet's event and the start of the next within which an unended event goes on: long presses come in
segments with a timestamp each (RFC 4733 §2.5.1.3), and some gateways restamp every packet."""


class TelephoneEvents:
    """Tells each key once, as soon as its first packet comes, whatever is repeated, lost or late afterwards."""

    def __init__(self) -> None:
        self.malformed = 0
        self.unknown = 0
        self._timestamp: int | None = None
        self._event = -1
        self._end = 0
        self._ended = True

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """Take one packet.

        Args:
            timestamp: of the RTP packet, in samples modulo 2³².
            payload: four bytes: event, flags and volume, duration in samples.

        Returns:
            The key, where this packet is the first of a press; else None.
        """
        if len(payload) < 4:
            self.malformed += 1
            return None
        event, flags, duration = struct.unpack_from("!BBH", payload)
        age = _HALF if self._timestamp is None else (timestamp - self._timestamp) & 0xFFFFFFFF
        if age > _HALF:  # a late packet of an earlier press
            return None
        known = age == 0 or (event == self._event and not self._ended and (timestamp - self._end) & 0xFFFFFFFF < _SAME_PRESS)
        self._ended = bool(flags & 0x80) or (self._ended and age == 0)
        self._timestamp, self._event, self._end = timestamp, event, (timestamp + duration) & 0xFFFFFFFF
        if known:
            return None
        if event >= len(KEYS):
            self.unknown += 1
            return None
        return KEYS[event]
