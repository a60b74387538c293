"""G.711 against the values of the recommendation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.phone.media.g711 import A_LAW, LAWS, MU_LAW, Law

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768, dtype="<i2").tobytes()

# ITU-T G.711 (11/88): number of the positive output value, counted from 1, and the value; table 1a in units of 1/4096, table 2a of 1/8159.
TABLE_1A = {1: 1, 32: 63, 33: 66, 48: 126, 49: 132, 64: 252, 65: 264, 80: 504, 81: 528, 96: 1008, 97: 1056, 112: 2016, 113: 2112, 128: 4032}
TABLE_2A = {
    1: 0,
    2: 2,
    16: 30,
    17: 33,
    32: 93,
    33: 99,
    48: 219,
    49: 231,
    64: 471,
    65: 495,
    80: 975,
    81: 1023,
    96: 1983,
    113: 4191,
    128: 8031,
}


def values(law: Law) -> np.ndarray:
    return np.frombuffer(law.decode(EVERY_CODE), dtype="<i2").astype(int)


def test_a_law_gives_the_output_values_of_table_1a() -> None:
    positive = sorted(v for v in values(A_LAW) if v > 0)
    assert {number: positive[number - 1] // 8 for number in TABLE_1A} == TABLE_1A


def test_mu_law_gives_the_output_values_of_table_2a() -> None:
    positive = sorted(v for v in values(MU_LAW)[128:])
    assert {number: positive[number - 1] // 4 for number in TABLE_2A} == TABLE_2A


def test_codes_stand_on_the_wire_as_the_recommendation_says() -> None:
    # Silence and both ends of the scale, with A-law's even bits inverted and µ-law's all.
    ends = np.array([0, 32767, -32768], dtype="<i2").tobytes()
    assert A_LAW.encode(ends) == bytes([0xD5, 0xAA, 0x2A])
    assert MU_LAW.encode(ends) == bytes([0xFF, 0x80, 0x00])


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_each_code_comes_back_and_order_is_kept(law: Law) -> None:
    again = law.encode(law.decode(EVERY_CODE))
    # µ-law has a negative zero, which decodes to zero and comes back as the positive one.
    assert [code for code in range(256) if again[code] != code] == ([0x7F] if law is MU_LAW else [])
    assert np.all(np.diff(np.frombuffer(law.decode(law.encode(EVERY_SAMPLE)), dtype="<i2").astype(int)) >= 0)


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
@settings(deadline=None)
@given(samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_the_error_is_within_half_a_step(law: Law, samples: list[int]) -> None:
    pcm = np.array(samples, dtype="<i2")
    error = np.abs(np.frombuffer(law.decode(law.encode(pcm.tobytes())), dtype="<i2").astype(int) - pcm)
    clipped = np.minimum(np.abs(pcm.astype(int)), 32124)
    assert np.all(error <= np.maximum(clipped / 16, 8) + np.abs(np.abs(pcm.astype(int)) - clipped))


def test_the_standard_library_agrees_while_it_lasts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="this Python has no audioop any more")
    assert A_LAW.decode(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)
    assert MU_LAW.decode(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert A_LAW.encode(EVERY_SAMPLE) == audioop.lin2alaw(EVERY_SAMPLE, 2)


def test_an_odd_byte_is_left_out() -> None:
    assert len(A_LAW.encode(bytes(321))) == 160
    assert A_LAW.encode(b"") == b""
