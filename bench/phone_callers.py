"""Callers that phone a line over real SIP and RTP, many from one process: `python -m bench.phone_callers HOST PORT CALLS SECONDS [WAV]`.

Prints one line of JSON: what each call sent and heard.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import wave
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aiosipua.outgoing_call import OutgoingCall
from aiosipua.sdp import build_sdp
from aiosipua.uac import SipUAC

from bedside.phone.leg import FRAME_BYTES, FRAME_SAMPLES
from bedside.phone.media.dtmf import KEYS
from bedside.phone.media.g711 import A_LAW
from bedside.phone.media.pacer import Pacer
from bedside.phone.transports.sip_server import SipServer
from bedside.phone.transports.sip_udp import UdpTransport

_EVENTS = 101
_KEY_TICKS = 6
_KEY_EVERY = 250
"""A caller presses a key every five seconds."""


@dataclass
class Tally:
    """What one call saw: packets each way, the packets with sound among those heard, keys pressed, how it began."""

    answered: bool = False
    sent: int = 0
    heard: int = 0
    sounding: int = 0
    keys: int = 0
    status: str = ""


@dataclass(eq=False)
class Caller:
    """One caller, ticked by a pacer: A-law audio in a loop, a key now and then; hears what comes back.

    Attributes:
        audio: frames of A-law to say, over and over.
        kept: what was heard, A-law, where `keep` is set.
    """

    audio: list[bytes]
    keep: bool = False
    tally: Tally = field(default_factory=Tally)
    kept: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.remote: tuple[str, int] | None = None
        self._tick = random.randrange(_KEY_TICKS, _KEY_EVERY)
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(31)
        self._identity = random.getrandbits(32)
        self._pressed = 0

    def tick(self) -> None:
        """Send one packet, read what came."""
        self._hear()
        if self.remote is None:
            return
        self._tick += 1
        into = self._tick % _KEY_EVERY
        if into < _KEY_TICKS:
            self._press(into)
        else:
            self._packet(A_LAW.payload_type, self._timestamp, self.audio[self._tick % len(self.audio)])
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF

    def fail(self, error: Exception) -> None:
        """The pacer found this caller broken."""
        self.tally.status = repr(error)

    def _press(self, into: int) -> None:
        if into == 0:
            self._pressed = self._timestamp
            self.tally.keys += 1
        end = 0x80 if into == _KEY_TICKS - 1 else 0
        payload = struct.pack("!BBH", KEYS.index("5"), end | 10, (into + 1) * FRAME_SAMPLES)
        for _ in range(3 if end else 1):
            self._packet(_EVENTS, self._pressed, payload)

    def _packet(self, kind: int, timestamp: int, payload: bytes) -> None:
        assert self.remote is not None
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.socket.sendto(struct.pack("!BBHLL", 0x80, kind, self._sequence, timestamp, self._identity) + payload, self.remote)
        self.tally.sent += 1

    def _hear(self) -> None:
        while True:
            try:
                packet = self.socket.recv(2048)
            except OSError:
                return
            self.tally.heard += 1
            self.tally.sounding += packet[12:] != A_LAW.silence
            if self.keep:
                self.kept += packet[12:]


async def converse(line: tuple[str, int], callers: list[Caller], seconds: float) -> None:
    """Phone the line with each caller, one every 10 ms, stay so many seconds after the last was dialled, and hang up."""
    transport = UdpTransport(("127.0.0.1", 0), lambda _: True)
    client = SipUAC(transport)
    server = SipServer(transport, client)
    await server.start()
    async with Pacer() as pacer:
        calls: list[tuple[Caller, OutgoingCall, asyncio.Task[None]]] = []
        for number, caller in enumerate(callers):
            call = _dial(client, line, caller, number)
            pacer.add(caller)
            calls.append((caller, call, asyncio.create_task(_answered(caller, call))))
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        for caller, call, task in calls:
            pacer.discard(caller)
            await task
            call.hangup(client)
            caller.socket.close()
        await asyncio.sleep(0.3)  # for the answers to the BYEs
    await server.stop()


def _dial(client: SipUAC, line: tuple[str, int], caller: Caller, number: int) -> OutgoingCall:
    offer = build_sdp("127.0.0.1", caller.port, A_LAW.payload_type, A_LAW.name, dtmf_payload_type=_EVENTS)
    host, port = line
    return client.send_invite(f"sip:04915701{number % 100:02d}@127.0.0.1", f"sip:clinic@{host}:{port}", line, offer)


async def _answered(caller: Caller, call: OutgoingCall) -> None:
    try:
        await call.wait_answered(10)
    except (TimeoutError, RuntimeError) as error:
        caller.tally.status = str(error)
        return
    caller.tally.answered = True
    caller.remote = call.sdp_answer.rtp_address


def frames(wav: Path) -> list[bytes]:
    """A WAV of 8 kHz, one channel, as frames of A-law."""
    with wave.open(str(wav)) as file:
        pcm = file.readframes(file.getnframes())
    return [A_LAW.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def main() -> None:
    """Phone, and print the tallies."""
    host, port, calls, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    audio = frames(Path(sys.argv[5])) if len(sys.argv) > 5 else [A_LAW.silence]
    callers = [Caller(audio) for _ in range(calls)]
    asyncio.run(converse((host, port), callers, seconds))
    print(json.dumps([asdict(caller.tally) for caller in callers]))


if __name__ == "__main__":
    main()
