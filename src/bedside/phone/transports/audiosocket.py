"""Asterisk's AudioSocket over TCP: 8 kHz samples as they are, each frame with a kind and a length.

Source: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/ (read November 2026). Use it on the PBX's own network: it
knows neither passwords nor encryption. A refused or ended call goes on in the dialplan, whose next line should dial reception.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum
from typing import Self
from uuid import UUID

from bedside.errors import BedsideError
from bedside.phone.leg import FRAME_BYTES, Audio
from bedside.phone.media.dtmf import KEYS
from bedside.phone.media.paced_leg import PacedLeg
from bedside.phone.media.stream_input import StreamInput
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.transports.media_streams import Handover
from bedside.phone.transports.sip_settings import Networks

log = logging.getLogger(__name__)

_START_S = 5.0
_STALLED_S = 10.0
_GOODBYE_S = 1.0
_MOST_UNSENT = 128 * 1024
_SILENCE = bytes(FRAME_BYTES)


class Kind(IntEnum):
    """What a frame holds."""

    HANGUP = 0x00
    ID = 0x01
    DTMF = 0x03
    AUDIO = 0x10
    ERROR = 0xFF


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """A frame: its kind, the length of its payload as 16 bits, most significant first, and the payload."""
    return struct.pack("!BH", kind, len(payload)) + payload


class AudioSocket:
    """Takes the calls of one TCP port. Use it as an async context, inside that of its switchboard.

    Args:
        switchboard: admits and answers.
        host, port: where to listen; port 0 takes a free one.
        allowed: addresses and networks of the PBX; others are cut off.
        handover: how calls are transferred, by the call's UUID; None for no way.

    Raises:
        BedsideError: on entering: the port is taken.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        host: str = "127.0.0.1",
        port: int = 9092,
        allowed: tuple[str, ...] = ("127.0.0.0/8",),
        handover: Handover | None = None,
    ) -> None:
        self.switchboard = switchboard
        self.handover = handover
        self._place = (host, port)
        self._allowed = Networks(allowed)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def __aenter__(self) -> Self:
        host, port = self._place
        try:
            self._server = await asyncio.start_server(self._serve, host, port)
        except OSError as error:
            raise BedsideError(
                f"AudioSocket cannot listen on {host}:{port} ({error.strerror or error})", "Choose another port, or stop what uses it"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one call."""
        peer = writer.get_extra_info("peername")[0]
        try:
            if peer not in self._allowed:
                raise ValueError("its address is not allowed")
            async with asyncio.timeout(_START_S):
                kind, payload = await _next(reader)
            if kind != Kind.ID or len(payload) != 16:
                raise ValueError("it does not begin with a UUID")
            if not self.switchboard.has_room():
                raise ValueError("no room")
            leg = AudioSocketLeg(self, str(UUID(bytes=payload)), writer)
            self.switchboard.connect(leg)
            leg.end(await leg.read_all(reader), far_end=True)
        except (ValueError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.warning("AudioSocket call from %s refused: %s", peer, str(error) or type(error).__name__)
            _say_goodbye(writer)
        finally:
            await _until_closed(reader)
            writer.close()


class AudioSocketLeg(PacedLeg):
    """A call by AudioSocket; the protocol tells no numbers."""

    def __init__(self, socket: AudioSocket, far_id: str, writer: asyncio.StreamWriter) -> None:
        super().__init__(far_id, "", "", socket.switchboard.longest_s)
        self._socket = socket
        self._writer = writer
        self._input = StreamInput(self.counts)

    async def transfer(self, target: str) -> bool:
        """Have the PBX take the call to `target`; False where the line was given no way to ask it."""
        if self.ended or self._socket.handover is None or not await self._socket.handover(self.far_id, target):
            return False
        self.end(f"transferred to {target}", far_end=False)
        return True

    async def read_all(self, reader: asyncio.StreamReader) -> str:
        """Take frames until the call is over; why it is."""
        while not self.ended:
            try:
                async with asyncio.timeout(_STALLED_S):
                    kind, payload = await _next(reader)
            except TimeoutError:
                return f"nothing from the PBX for {_STALLED_S:.0f} s"
            except (OSError, asyncio.IncompleteReadError):
                return "the connection to the PBX broke"
            if kind == Kind.HANGUP:
                return "the caller hung up"
            if kind == Kind.ERROR:
                return f"the PBX reports an error ({payload[:4].hex() or 'no code'})"
            self._take(kind, payload)
        return "the line hung up"

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == Kind.AUDIO:
            self._input.feed(payload[: len(payload) & ~1])
        elif kind == Kind.DTMF and len(payload) == 1 and chr(payload[0]) in KEYS:
            self._press(chr(payload[0]))
        else:
            self.counts[f"frames of kind 0x{kind:02x} that make no sense"] += 1

    def _receive(self) -> Iterable[Audio]:
        return self._input.take()

    def _send(self, pcm: bytes | None) -> None:
        self._writer.write(frame(Kind.AUDIO, _SILENCE if pcm is None else pcm))
        if self._writer.transport.get_write_buffer_size() > _MOST_UNSENT:
            self.end("the PBX does not read", far_end=False)

    def _close(self, far_end: bool) -> None:
        if not far_end:
            _say_goodbye(self._writer)


async def _next(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame's kind and payload, at most 65,535 bytes."""
    kind, length = struct.unpack("!BH", await reader.readexactly(3))
    return kind, await reader.readexactly(length)


def _say_goodbye(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.write(frame(Kind.HANGUP))
        writer.write_eof()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Read away what still comes: a socket closed on unread audio is reset, and the PBX might never see our hang-up."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE_S):
            while await reader.read(_MOST_UNSENT):
                pass
