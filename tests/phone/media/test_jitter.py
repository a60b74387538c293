"""The jitter buffer: order, losses, packets of any length, hostile timestamps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.leg import FRAME_BYTES, FRAME_SAMPLES
from bedside.phone.media.jitter import Concealer, JitterBuffer

WRAP = 1 << 32


def ramp(samples: int) -> np.ndarray:
    """Samples that tell their own place, none of them zero."""
    return (np.arange(samples) % 30_000 + 1).astype("<i2")


def packets(pcm: np.ndarray, start: int, length: int) -> list[tuple[int, bytes]]:
    return [((start + at) % WRAP, pcm[at : at + length].tobytes()) for at in range(0, len(pcm), length)]


def drained(buffer: JitterBuffer, most: int = 60) -> np.ndarray:
    frames = [buffer.pop() for _ in range(most)]
    return np.frombuffer(b"".join(f for f in frames if f), dtype="<i2")


@settings(deadline=None)
@given(start=st.integers(0, WRAP - 1), length=st.sampled_from([80, 160, 240, 320, 480]), data=st.data())
def test_shuffled_packets_of_any_length_come_out_in_order_across_the_wrap(start: int, length: int, data: st.DataObject) -> None:
    pcm = ramp(480 * 10)
    sent = packets(pcm, start, length)
    buffer = JitterBuffer()
    for packet in data.draw(st.permutations(sent)) + sent[:3]:
        buffer.put(*packet)
    assert np.array_equal(drained(buffer), pcm)
    assert buffer.duplicate == 3 and buffer.late == 0


@settings(deadline=None)
@given(lost=st.sets(st.integers(1, 28), max_size=12))
def test_a_lost_packet_is_a_gap_and_nothing_else_moves(lost: set[int]) -> None:
    pcm = ramp(30 * FRAME_SAMPLES)
    buffer = JitterBuffer()
    for number, packet in enumerate(packets(pcm, 5, FRAME_SAMPLES)):
        if number not in lost:
            buffer.put(*packet)
    frames = [buffer.pop() for _ in range(30)]
    for number, frame in enumerate(frames):
        expected = None if number in lost else pcm[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES].tobytes()
        assert frame == expected
    assert buffer.gaps == len(lost)


def test_it_waits_for_its_depth_and_deepens_for_late_packets() -> None:
    buffer = JitterBuffer(least_ms=40, most_ms=80)
    sent = packets(ramp(FRAME_SAMPLES * 20), 0, FRAME_SAMPLES)
    buffer.put(*sent[0])
    assert buffer.pop() is None  # 20 ms are not yet 40
    buffer.put(*sent[1])
    assert [buffer.pop(), buffer.pop(), buffer.pop()] == [sent[0][1], sent[1][1], None]
    buffer.put(*sent[2])  # too late by now
    assert buffer.late == 1
    buffer.put(*sent[3])
    buffer.put(*sent[4])
    assert buffer.pop() is None  # the frame by which it is deeper from now on
    assert [buffer.pop(), buffer.pop()] == [sent[3][1], sent[4][1]]


def test_a_needlessly_deep_buffer_gets_shorter() -> None:
    buffer = JitterBuffer()
    sent = packets(ramp(FRAME_SAMPLES * 400), 0, FRAME_SAMPLES)
    for packet in sent[:10]:
        buffer.put(*packet)
    for packet in sent[10:]:
        buffer.pop()
        buffer.put(*packet)
    assert 3 <= buffer.skipped <= 7


def test_a_jump_of_the_clock_starts_the_stream_anew() -> None:
    buffer = JitterBuffer()
    for packet in packets(ramp(FRAME_SAMPLES * 4), 0, FRAME_SAMPLES) + packets(ramp(FRAME_SAMPLES * 4), 1 << 30, FRAME_SAMPLES):
        buffer.put(*packet)
    assert len(drained(buffer)) == FRAME_SAMPLES * 4
    assert buffer.restarts == 1


def test_after_a_pause_of_the_sender_the_next_words_are_whole() -> None:
    buffer = JitterBuffer()
    sent = packets(ramp(FRAME_SAMPLES * 60), 0, FRAME_SAMPLES)
    for packet in sent[:5]:
        buffer.put(*packet)
    for _ in range(40):
        buffer.pop()
    heard = b""
    for packet in sent[40:50]:
        buffer.put(*packet)
        heard += buffer.pop() or b""
    heard += drained(buffer, 5).tobytes()
    assert heard == b"".join(pcm for _, pcm in sent[40:50])


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, WRAP - 1), st.binary(max_size=700))), max_size=150))
def test_hostile_packets_take_bounded_memory_and_never_raise(steps: list[tuple[int, bytes] | None]) -> None:
    buffer = JitterBuffer()
    for step in steps:
        if step is None:
            frame = buffer.pop()
            assert frame is None or len(frame) == FRAME_BYTES
        else:
            buffer.put(*step)
    assert len(buffer._packets) <= 101


def test_a_flood_of_overlapping_packets_is_refused() -> None:
    buffer = JitterBuffer()
    for at in range(1000):
        buffer.put(at, bytes(320))
    assert buffer.refused == 900


def test_concealment_repeats_fading_and_falls_silent() -> None:
    concealer = Concealer()
    assert concealer.missed() == bytes(FRAME_BYTES)
    concealer.heard(np.full(FRAME_SAMPLES, 1000, dtype="<i2").tobytes())
    levels = [np.frombuffer(concealer.missed(), dtype="<i2").max() for _ in range(5)]
    assert levels == pytest.approx([750, 500, 250, 0, 0])
