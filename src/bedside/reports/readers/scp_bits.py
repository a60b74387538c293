"""How SCP-ECG packs samples: Huffman codes, differences, halved sampling outside of QRS complexes, and its check sums (EN 1064, sections 2, 5, 6)."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedside.reports.readers.source import ReportError

Samples = NDArray[np.int64]
_STANDARD_TABLE = 19999
_MOST_CODES = 4096
_NEXT = "Export the ECG again, or as PDF or DICOM"


@dataclass(frozen=True, slots=True)
class Code:
    """One Huffman code.

    Attributes:
        extra: bits after the prefix that hold a number of their own.
        value: of the sample; or the number of the table to go on with, from 1, where `switches`.
    """

    extra: int
    value: int
    switches: bool = False


Table = dict[tuple[int, int], Code]
"""By length of the prefix and the prefix."""


def check_sum(data: bytes) -> int:
    """CRC-CCITT of a section or record, from its third byte on."""
    return binascii.crc_hqx(data, 0xFFFF)


def standard_table() -> Table:
    """The table of annex C.3.7.6: short codes for −8 to 8, then 8 and 16 bits as they are."""
    table: Table = {(1, 0): Code(0, 0)}
    for size in range(1, 9):
        ones = ((1 << size) - 1) << 2
        table[(size + 2, ones)] = Code(0, size)
        table[(size + 2, ones | 1)] = Code(0, -size)
    table[(10, 0b1111111110)] = Code(8, 0)
    table[(10, 0b1111111111)] = Code(16, 0)
    return table


def tables(body: bytes) -> list[Table]:
    """Huffman tables of section 2.

    Raises:
        ReportError: they are cut off or have codes that cannot be.
    """
    if len(body) < 2:
        raise ReportError("section 2 of the SCP-ECG is empty", _NEXT)
    count = struct.unpack_from("<H", body)[0]
    if count == _STANDARD_TABLE:
        return [standard_table()]
    found, place = [], 2
    for _ in range(count):
        if place + 2 > len(body):
            raise ReportError("section 2 of the SCP-ECG is cut off", _NEXT)
        codes = struct.unpack_from("<H", body, place)[0]
        place += 2
        if codes > _MOST_CODES or place + 9 * codes > len(body):
            raise ReportError(f"section 2 of the SCP-ECG names {codes} codes and is cut off before", _NEXT)
        found.append(dict(_code(body, place + 9 * number) for number in range(codes)))
        place += 9 * codes
    if not found:
        raise ReportError("section 2 of the SCP-ECG holds no table", _NEXT)
    return found


def _code(body: bytes, place: int) -> tuple[tuple[int, int], Code]:
    prefix, total, mode, value, stored = struct.unpack_from("<BBBhI", body, place)
    if not 1 <= prefix <= 32 or not prefix <= total <= prefix + 32:
        raise ReportError(f"section 2 of the SCP-ECG has a code of {prefix} in {total} bits", _NEXT)
    # The first bit of the prefix is the least significant one as it is stored.
    reversed_ = int(f"{stored & ((1 << prefix) - 1):0{prefix}b}"[::-1], 2)
    return (prefix, reversed_), Code(total - prefix, value, switches=mode == 0)


def unpacked(data: bytes, count: int, found: list[Table]) -> Samples:
    """`count` samples of a Huffman stream.

    Raises:
        ReportError: it ends early, or holds a code that no table has.
    """
    bits = int.from_bytes(data, "big")
    text = f"{bits:0{8 * len(data)}b}" if data else ""
    samples = np.empty(min(count, len(text)), dtype=np.int64)
    if count > len(text):
        raise ReportError(f"a lead of the SCP-ECG should have {count} samples and has at most {len(text)} bits", _NEXT)
    table, longest = found[0], max((length for length, _ in found[0]), default=0)
    place = number = 0
    while number < count:
        code, length = None, 0
        prefix = 0
        while code is None and length < longest and place + length < len(text):
            prefix = (prefix << 1) | (text[place + length] == "1")
            length += 1
            code = table.get((length, prefix))
        place += length
        if code is None or place + code.extra > len(text):
            raise ReportError(f"a lead of the SCP-ECG ends after {number} of {count} samples", _NEXT)
        if code.switches:
            if not 1 <= code.value <= len(found):
                raise ReportError(f"a lead of the SCP-ECG names Huffman table {code.value} of {len(found)}", _NEXT)
            table = found[code.value - 1]
            longest = max((size for size, _ in table), default=0)
            continue
        samples[number] = code.value + _signed(text[place : place + code.extra])
        place += code.extra
        number += 1
    return samples


def _signed(bits: str) -> int:
    if not bits:
        return 0
    value = int(bits, 2)
    return value - (1 << len(bits)) if bits[0] == "1" else value


def summed(samples: Samples, order: int) -> Samples:
    """Undoes first or second differences; 16-bit numbers wrap around, as in the devices that wrote them.

    With second differences the first two samples stand as they are.
    """
    if order == 0 or len(samples) == 0:
        return samples
    if order == 1:
        whole = np.cumsum(samples)
    elif len(samples) < 3:
        whole = samples
    else:
        steps = np.concatenate([[samples[1] - samples[0]], samples[2:]])
        whole = np.concatenate([[samples[0]], samples[0] + np.cumsum(np.cumsum(steps))])
    return whole.astype(np.int16).astype(np.int64)


def stretched(samples: Samples, count: int, kept: list[tuple[int, int]], step: int) -> Samples:
    """Undoes bimodal compression: outside of `kept` zones, each sample stands for `step` and is joined to the next by a line.

    Args:
        count: samples that the lead has in full.
        kept: first and last sample, from 1, of zones in which all were kept.
        step: samples that one was kept of elsewhere.

    Raises:
        ReportError: there are more or fewer samples than the zones say.
    """
    full = np.zeros(count, dtype=bool)
    for first, last in kept:
        full[max(0, first - 1) : max(0, last)] = True
    times, place = [], 0
    while place < count:
        if full[place]:
            times.append(float(place))
            place += 1
            continue
        run = 1
        while run < step and place + run < count and not full[place + run]:
            run += 1
        times.append(place + (run - 1) / 2)
        place += run
    if abs(len(times) - len(samples)) > step:
        raise ReportError(f"a lead of the SCP-ECG has {len(samples)} packed samples where its zones give {len(times)}", _NEXT)
    common = min(len(times), len(samples))
    return np.rint(np.interp(np.arange(count), times[:common], samples[:common])).astype(np.int64)
