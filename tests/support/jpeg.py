"""A small JPEG that takes long to read: progressive, with as many scans of nothing as were asked for."""

from __future__ import annotations

import struct

__all__ = ["many_scans"]

SIDE = 2048
BLOCKS = (SIDE // 8) ** 2
LONGEST = 2**15 - 1
"""Blocks that one code can pass over."""


def many_scans(count: int) -> bytes:
    """Grey, SIDE x SIDE. Each scan is 17 bytes, and a visit to every block."""
    over = [LONGEST] * (BLOCKS // LONGEST) + [2**14]
    scan = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + _packed(
        "".join("0" + format(blocks - 2**14, "014b") for blocks in over)
    )
    return b"".join((
        b"\xff\xd8",
        _segment(0xDB, b"\x00" + b"\x01" * 64),
        _segment(0xC2, struct.pack(">BHHB", 8, SIDE, SIDE, 1) + b"\x01\x11\x00"),
        _segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00"),
        _segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0"),
        _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(BLOCKS // 8),
        scan * count,
        b"\xff\xd9",
    ))  # fmt: skip


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
