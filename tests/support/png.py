"""PNG files by hand: true ones, and ones that say of themselves what they are not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["chunk", "png", "png_of"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {1: 0, 3: 2, 4: 6}
"""PNG's colour type by the number of channels."""


def png(pixels: NDArray[np.uint8], before: Sequence[bytes] = ()) -> bytes:
    """Of (h, w, 1, 3 or 4); `before`: chunks that stand before the pixels."""
    high, wide, channels = pixels.shape
    lines = np.concatenate([np.zeros((high, 1), np.uint8), pixels.reshape(high, -1)], 1)
    return png_of(wide, high, COLOURS[channels], zlib.compress(lines.tobytes()), before)


def png_of(wide: int, high: int, colour: int, compressed: bytes, before: Sequence[bytes] = ()) -> bytes:
    """One that says it has this size, and has these bytes in it."""
    head = struct.pack(">IIBBBBB", wide, high, 8, colour, 0, 0, 0)
    return b"".join(
        (SIGNATURE, chunk(b"IHDR", head), *before, chunk(b"IDAT", compressed), chunk(b"IEND", b""))
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
