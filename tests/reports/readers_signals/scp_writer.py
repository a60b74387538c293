"""Writes SCP-ECG files with the means that devices use, for tests of the reader: an own, plain reading of EN 1064."""

from __future__ import annotations

import binascii
import struct

import numpy as np

CODES = {"I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8}
STATEMENTS = ("Sinus rhythm", "Borderline left axis deviation")


def scp(rows, interval=2000, packing="plain", statements=STATEMENTS):
    """A file of 8 leads.

    Args:
        rows: nV / 1000 (µV), whole numbers, shape [8, n].
        interval: microseconds between samples.
        packing: `plain`, `differences` (Huffman), `reference` (a beat subtracted), `bimodal` (every second sample outside of zones).
    """
    count = rows.shape[1]
    sections = {
        1: _patient(),
        3: struct.pack("<BB", 8, 0x44 | (packing in ("reference", "bimodal")))
        + b"".join(struct.pack("<IIB", 1, count, code) for code in CODES.values()),
        7: _measurements(),
        8: _said(statements, 8),
    }
    sections[6] = _rhythm(rows.astype(int), interval, 0 if packing == "plain" else 2, packed=packing != "plain")
    if packing != "plain":
        sections[2] = struct.pack("<H", 19999)
    if packing in ("reference", "bimodal"):
        length, fiducial = 60, 21
        beat = np.round(300 * np.exp(-(((np.arange(length) - 20) / 8) ** 2))).astype(int)
        at = [200, 700]
        rest = rows.astype(int).copy()
        for place in at:
            rest[:, place - fiducial : place - fiducial + length] -= beat
        zones = [(0, place - fiducial + 1, place, place - fiducial + length) for place in at]
        sections[4] = struct.pack("<HHH", length * interval // 1000, fiducial, 2) + b"".join(struct.pack("<HIII", *zone) for zone in zones)
        sections[4] += b"".join(struct.pack("<II", zone[1], zone[3]) for zone in zones)
        sections[5] = _rhythm(np.tile(beat, (8, 1)), interval, 0, packed=True, flag=0)
        step = 2 if packing == "bimodal" else 1
        rest = np.stack([_halved(row, zones, step) for row in rest])
        sections[6] = _rhythm(rest, interval * step, 0, packed=True, flag=step - 1)
    return _file(sections)


def _halved(row, zones, step):
    if step == 1:
        return row
    kept, place = [], 0
    full = np.zeros(len(row), dtype=bool)
    for _, first, _, last in zones:
        full[first - 1 : last] = True
    while place < len(row):
        run = 1 if full[place] or place + 1 >= len(row) or full[place + 1] else 2
        kept.append(round(row[place : place + run].mean()))
        place += run
    return np.array(kept)


def _patient():
    device = (
        struct.pack("<HHHBB", 0, 0, 0, 0, 0)
        + b"Mk2\0\0\0"
        + bytes([20, 0xA0, 0, 0, 1])
        + bytes(17)
        + b"prog 1\0SN77\0v3\0\0Invented Devices\0"
    )
    tags = [(0, b"Sample\0"), (1, b"Alex\0"), (2, b"PT-0042\0"), (5, struct.pack("<HBB", 1961, 4, 12)), (8, b"\x02"), (14, device)]
    tags += [(25, struct.pack("<HBB", 2026, 3, 9)), (26, bytes([14, 5, 30])), (30, b"seated\0")]
    return b"".join(struct.pack("<BH", tag, len(value)) + value for tag, value in tags) + b"\xff\0\0"


def _measurements():
    block = struct.pack("<5H3h", 100, 200, 260, 352, 650, 45, -35, 40)
    return bytes([1, 0]) + struct.pack("<HH", 857, 857) + block + struct.pack("<H", 2) + bytes(2) + struct.pack("<HHHB", 70, 70, 421, 1)


def _said(texts, number):
    body = bytes([0]) + struct.pack("<HBB", 2026, 3, 9) + bytes([14, 6, 0, len(texts)])
    return body + b"".join(struct.pack("<BH", place, len(text) + 1) + text.encode("latin-1") + b"\0" for place, text in enumerate(texts, 1))


def _rhythm(rows, interval, order, *, packed, flag=0):
    chunks = [_huffman(np.concatenate([row[:order], np.diff(row, n=order)])) if packed else row.astype("<i2").tobytes() for row in rows]
    return (
        struct.pack("<HHBB", 1000, interval, order, flag) + b"".join(struct.pack("<H", len(chunk)) for chunk in chunks) + b"".join(chunks)
    )


def _huffman(values):
    bits = []
    for value in map(int, values):
        if value == 0:
            bits.append("0")
        elif abs(value) <= 8:
            bits.append("1" * abs(value) + "0" + ("0" if value > 0 else "1"))
        elif -128 <= value < 128:
            bits.append("1111111110" + f"{value & 0xFF:08b}")
        else:
            bits.append("1111111111" + f"{value & 0xFFFF:016b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 16)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _file(sections):
    ids = sorted(sections)
    built, place = {}, 6 + 16 + 10 * (len(ids) + 1)
    pointers = [(0, place - 6, 7)]
    for number in ids:
        body = sections[number] + bytes(len(sections[number]) % 2)
        head = struct.pack("<HIBB", number, len(body) + 16, 20, 20) + bytes(6)
        built[number] = _summed(head + body)
        pointers.append((number, len(body) + 16, place + 1))
        place += len(body) + 16
    zero = struct.pack("<HIBB", 0, pointers[0][1], 20, 20) + b"SCPECG" + b"".join(struct.pack("<HII", *pointer) for pointer in pointers)
    whole = struct.pack("<I", place) + _summed(zero) + b"".join(built[number] for number in ids)
    return _summed(whole)


def _summed(data):
    return struct.pack("<H", binascii.crc_hqx(data, 0xFFFF)) + data
