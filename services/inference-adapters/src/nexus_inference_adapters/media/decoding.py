"""A picture's file in, pixels out: for processes that may do nothing else with strangers' bytes.

How large it is its head says, and what is too large is never decoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["UnreadableError", "read_picture"]

ALIGNED = 256
"""Pixels more that the decoder may ask for on each side."""
DAMAGED = "is damaged, or not whole"
Size = tuple[int, int]
"""Width and height in pixels."""


class UnreadableError(Exception):
    """A file that is no picture that is read here, in words that go on from its name."""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    begin: re.Pattern[bytes]
    size: Callable[[bytes], Size | None]
    moves: Callable[[bytes], bool] = lambda _: False
    is_whole: Callable[[bytes], bool] = lambda _: True
    """Where the decoder would fill up what is missing."""


def read_picture(data: bytes, smallest: int, largest: int) -> NDArray[np.uint8]:
    """Its pixels with their alpha, (h, w, 4). `smallest`, `largest`: of each side. Raises UnreadableError."""
    kind = next((each for each in KINDS if each.begin.match(data)), None)
    size = kind and kind.size(data)
    if kind is None or size is None:
        raise UnreadableError(f"is no picture that is read here. There are: {', '.join(NAMES)}")
    if kind.moves(data):
        raise UnreadableError("moves: send one picture that stands still")
    wide, high = size
    if not (smallest <= wide <= largest and smallest <= high <= largest):
        raise UnreadableError(
            f"has {wide}x{high} pixels. Taken are pictures of {smallest} to {largest} pixels a side"
        )
    if not kind.is_whole(data):
        raise UnreadableError(DAMAGED)
    return _decoded(kind.name, data, size)


def _decoded(codec: str, data: bytes, size: Size) -> NDArray[np.uint8]:
    import av
    from av import logging
    from av.error import FFmpegError

    logging.set_level(logging.PANIC)
    decoder: Any = av.CodecContext.create(codec, "r")
    # What the head of the picture says and what its body says can be two things.
    decoder.options = {"max_pixels": str((size[0] + ALIGNED) * (size[1] + ALIGNED)), "err_detect": "explode"}
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        if len(frames) != 1 or (frames[0].width, frames[0].height) != size:
            raise UnreadableError(DAMAGED)
        return frames[0].to_ndarray(format="rgba")
    except (FFmpegError, ValueError, MemoryError):
        raise UnreadableError(DAMAGED) from None


def _png_size(data: bytes) -> Size | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _png_moves(data: bytes) -> bool:
    """Whether it has an acTL chunk before its pixels."""
    at = 8
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind in (b"IDAT", b"acTL"):
            return kind == b"acTL"
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG behind which the size stands."""
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def _jpeg_size(data: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in ALONE:
            at += 2
        elif marker in FRAMES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the mark of its end comes after that of its last scan."""
    return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")


def _webp_size(data: bytes) -> Size | None:
    """Of the simple, the lossless and the extended form."""
    form, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if form == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if form == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if form == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    return None


def _webp_moves(data: bytes) -> bool:
    return data[12:16] == b"VP8X" and bool(data[20] & 2)


KINDS = (
    _Kind("png", re.compile(rb"\x89PNG\r\n\x1a\n"), _png_size, _png_moves),
    _Kind("mjpeg", re.compile(rb"\xff\xd8\xff"), _jpeg_size, is_whole=_jpeg_is_whole),
    _Kind("webp", re.compile(rb"RIFF....WEBP", re.DOTALL), _webp_size, _webp_moves),
)
"""By the names of their decoders."""
NAMES = ("png", "jpeg", "webp")
