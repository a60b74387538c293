"""A-law and µ-law by table.

Source: ITU-T G.711 (11/88), tables 1a and 2a; rounding at decision values as in the reference code of ITU-T G.191 (STL2009, g711.c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedside.phone.leg import FRAME_SAMPLES


@dataclass(frozen=True, eq=False)
class Law:
    """One of the two companding laws.

    Attributes:
        name: its name in SDP.
        payload_type: its static RTP payload type (RFC 3551).
        compressed: (65536,) the code of each 16-bit sample, indexed by the sample read as unsigned.
        expanded: (256,) the 16-bit sample of each code.
    """

    name: str
    payload_type: int
    compressed: NDArray[np.uint8]
    expanded: NDArray[np.int16]

    def encode(self, pcm: bytes) -> bytes:
        """16-bit little-endian samples to one byte each; an odd last byte is left out."""
        codes: NDArray[np.uint8] = self.compressed[np.frombuffer(pcm, dtype="<u2", count=len(pcm) // 2)]
        return codes.tobytes()

    def decode(self, codes: bytes) -> bytes:
        """One byte a sample to 16-bit little-endian samples."""
        samples: NDArray[np.int16] = self.expanded[np.frombuffer(codes, dtype=np.uint8)]
        return samples.tobytes()

    @property
    def silence(self) -> bytes:
        """One frame of 20 ms of silence."""
        return bytes([self.compressed[0]]) * FRAME_SAMPLES


def _samples() -> NDArray[np.int32]:
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _bits(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    """The number of bits of each magnitude."""
    return np.frexp(magnitude)[1].astype(np.int32)


def _a_compressed() -> NDArray[np.uint8]:
    samples = _samples()
    magnitude = np.where(samples < 0, ~samples, samples) >> 4
    segment = np.maximum(_bits(magnitude) - 4, 0)
    mantissa = (magnitude >> np.maximum(segment - 1, 0)) & 0x0F
    sign = np.where(samples < 0, 0, 0x80)
    return np.asarray((sign | segment << 4 | mantissa) ^ 0x55, dtype=np.uint8)


def _a_expanded() -> NDArray[np.int16]:
    codes = np.arange(256) ^ 0x55
    segment, mantissa = codes >> 4 & 7, codes & 0x0F
    magnitude = np.where(segment == 0, mantissa << 4 | 8, (mantissa << 4 | 0x108) << np.maximum(segment - 1, 0))
    return np.where(codes & 0x80, magnitude, -magnitude).astype("<i2")


def _mu_compressed() -> NDArray[np.uint8]:
    samples = _samples()
    magnitude = np.minimum((np.where(samples < 0, ~samples, samples) >> 2) + 33, 0x1FFF)
    segment = _bits(magnitude) - 6
    mantissa = (magnitude >> (segment + 1)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    return np.asarray(~(sign | segment << 4 | mantissa) & 0xFF, dtype=np.uint8)


def _mu_expanded() -> NDArray[np.int16]:
    codes = ~np.arange(256) & 0xFF
    magnitude = (((codes & 0x0F) << 3) + 0x84 << (codes >> 4 & 7)) - 0x84
    return np.where(codes & 0x80, -magnitude, magnitude).astype("<i2")


A_LAW = Law("PCMA", 8, _a_compressed(), _a_expanded())
MU_LAW = Law("PCMU", 0, _mu_compressed(), _mu_expanded())
LAWS = {law.payload_type: law for law in (A_LAW, MU_LAW)}
