"""Keys from telephone events, on bad lines."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.media.dtmf import KEYS, TelephoneEvents


def packet(key: str, duration: int, end: bool = False) -> bytes:
    return struct.pack("!BBH", KEYS.index(key), (0x80 if end else 0) | 10, duration)


def press(key: str, at: int, ms: int = 100) -> list[tuple[int, bytes]]:
    """The packets of one press as RFC 4733 has them sent: one each 20 ms, the end three times."""
    durations = range(160, ms * 8, 160)
    return [(at, packet(key, d)) for d in durations] + 3 * [(at, packet(key, ms * 8, end=True))]


@settings(deadline=None)
@given(st.data(), st.text(KEYS, min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_each_key_is_told_once_whatever_is_lost_repeated_or_late(data: st.DataObject, keys: str, start: int) -> None:
    events, told = TelephoneEvents(), ""
    for number, key in enumerate(keys):
        sent = press(key, (start + number * 3200) & 0xFFFFFFFF)
        kept = data.draw(st.lists(st.sampled_from(sent), min_size=1, max_size=12))
        earlier = press(keys[number - 1], (start + (number - 1) * 3200) & 0xFFFFFFFF)[-2:] if number else []
        for timestamp, payload in kept[:1] + data.draw(st.permutations(kept[1:] + earlier)):
            told += events.receive(timestamp, payload) or ""
    assert told == keys


def test_the_same_key_twice_is_two_keys_even_when_the_first_end_is_lost() -> None:
    events = TelephoneEvents()
    heard = [events.receive(t, p) for t, p in press("0", 1000)[:4] + press("0", 1000 + 1600)]
    assert [key for key in heard if key] == ["0", "0"]


def test_a_long_press_in_segments_is_one_key() -> None:
    events, segment = TelephoneEvents(), 0xFFFF
    heard = [
        events.receive(0, packet("7", segment)),
        events.receive(segment, packet("7", 800)),
        events.receive(segment, packet("7", 900, True)),
    ]
    assert heard == ["7", None, None]


def test_events_that_are_no_keys_are_counted_not_told() -> None:
    events = TelephoneEvents()
    assert events.receive(0, struct.pack("!BBH", 16, 0, 160)) is None  # a hook flash
    assert events.receive(0, b"\x01") is None
    assert (events.unknown, events.malformed) == (1, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=8)), max_size=30))
def test_any_payload_is_survived(packets: list[tuple[int, bytes]]) -> None:
    events = TelephoneEvents()
    assert all((events.receive(*p) or "0") in KEYS for p in packets)
