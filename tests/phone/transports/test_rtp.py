"""RTP on a real socket: losses, reordering, strangers, floods, nonsense."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import BedsideError
from bedside.phone.leg import FRAME_BYTES, FRAME_SAMPLES
from bedside.phone.media.dtmf import KEYS
from bedside.phone.media.g711 import A_LAW, MU_LAW
from bedside.phone.transports.rtp import RtpStream, bound_socket

EVENTS = 101


class Wire:
    """A far end that sends what the test wants, as it wants."""

    def __init__(self) -> None:
        self.stream = RtpStream("127.0.0.1", (0, 0), A_LAW, EVENTS, None, lambda host: host == "127.0.0.1")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(2)

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, ("127.0.0.1", self.stream.port))

    def heard(self, ticks: int) -> tuple[list[bytes], str, int]:
        """Frames that came, keys, and how many frames were made up, over so many ticks."""
        frames, keys, lost = [], "", 0
        for _ in range(ticks):
            audio, pressed = self.stream.receive()
            keys += "".join(pressed)
            if audio is not None:
                frames += [audio.pcm] if not audio.lost else []
                lost += audio.lost
        return frames, keys, lost

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = Wire()
    yield found
    found.close()


def rtp(sequence: int, payload: bytes, kind: int = A_LAW.payload_type, timestamp: int | None = None, source: int = 7) -> bytes:
    return (
        struct.pack("!BBHLL", 0x80, kind, sequence & 0xFFFF, sequence * FRAME_SAMPLES if timestamp is None else timestamp, source) + payload
    )


def frame(level: int) -> bytes:
    return A_LAW.encode(np.full(FRAME_SAMPLES, level * 64, dtype="<i2").tobytes())


def test_reordered_and_lost_packets_come_out_in_order_with_the_gaps_made_up(wire: Wire) -> None:
    sent = [(number, rtp(number, frame(number))) for number in range(1, 31) if number % 7]
    for at in range(0, len(sent) - 1, 5):
        sent[at], sent[at + 1] = sent[at + 1], sent[at]
    for _, packet in sent:
        wire.send(packet)
    frames, _, lost = wire.heard(30)
    levels = [int(np.frombuffer(f, dtype="<i2")[0]) for f in frames]
    expected = [np.frombuffer(A_LAW.decode(frame(n)), dtype="<i2")[0] for n in range(1, 31) if n % 7]
    assert levels == expected and lost == 4


def test_both_laws_are_understood_and_the_agreed_one_is_spoken(wire: Wire) -> None:
    pcm = np.full(FRAME_SAMPLES, 4096, dtype="<i2").tobytes()
    for number, law in enumerate((A_LAW, MU_LAW, A_LAW), 1):
        wire.send(rtp(number, law.encode(pcm), law.payload_type))
    frames, _, _ = wire.heard(3)
    assert [int(np.frombuffer(f, dtype="<i2")[0]) for f in frames] == pytest.approx([4096] * 3, abs=130)
    wire.stream.send(pcm)
    wire.stream.send(None)
    first, second = wire.socket.recv(2048), wire.socket.recv(2048)
    assert first[1] == A_LAW.payload_type and first[12:] == A_LAW.encode(pcm) and second[12:] == A_LAW.silence
    assert (struct.unpack("!H", second[2:4])[0] - struct.unpack("!H", first[2:4])[0]) & 0xFFFF == 1


def test_keys_come_once_while_audio_goes_on(wire: Wire) -> None:
    rng = random.Random(5)
    packets = [rtp(number, frame(3)) for number in range(1, 60)]
    for at, key in ((10, "4"), (30, "4"), (45, "#")):
        event = [struct.pack("!BBH", KEYS.index(key), (0x80 if n > 4 else 0) | 10, 160 * (min(n, 5) + 1)) for n in range(8)]
        packets[at : at + 8] = [rtp(at + n, payload, EVENTS, at * FRAME_SAMPLES) for n, payload in enumerate(event)]
    keys = ""
    for packet in packets:
        if rng.random() > 0.3:
            wire.send(packet)
        keys += wire.heard(1)[1]
    assert keys == "44#"


def test_nothing_is_sent_before_the_far_end_is_known_and_strangers_change_nothing(wire: Wire) -> None:
    wire.stream.send(bytes(FRAME_BYTES))
    wire.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.socket.recv(2048)
    wire.send(rtp(1, frame(1)))
    wire.heard(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hijacker:
        hijacker.bind(("127.0.0.1", 0))
        for number in range(20):
            hijacker.sendto(rtp(number, frame(90), source=99), ("127.0.0.1", wire.stream.port))
    wire.heard(2)
    wire.stream.send(None)
    assert wire.socket.recv(2048)[12:] == A_LAW.silence
    assert wire.stream.counts["from a stranger"] == 20


def test_a_flood_does_not_hold_a_tick_up(wire: Wire) -> None:
    for number in range(200):
        wire.send(rtp(number, frame(1)))
    wire.stream.receive()
    assert len(wire.stream.jitter._packets) <= 50


def test_a_range_without_a_free_port_is_told() -> None:
    taken = bound_socket("127.0.0.1", (0, 0))
    port = taken.getsockname()[1] & ~1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        if port != taken.getsockname()[1]:
            other.bind(("127.0.0.1", port))
        with pytest.raises(BedsideError, match="no UDP port from"):
            bound_socket("127.0.0.1", (port, port))
    taken.close()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(bytes.__add__, st.sampled_from([b"\x80\x08", b"\x90\x88", b"\xbf\x65", b"\xb0\x08"]), st.binary(max_size=400)),
        ),
        max_size=8,
    )
)
def test_any_datagram_is_survived(wire: Wire, datagrams: list[bytes]) -> None:
    for data in datagrams:
        wire.send(data)
    audio, keys = wire.stream.receive()
    assert audio is None or len(audio.pcm) == FRAME_BYTES
    assert all(key in KEYS for key in keys)
