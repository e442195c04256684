"""The process that decodes strangers' pictures: run as a file, so that it loads no more of the adapter than it needs.

Orders come on standard input, one JSON object a line: {"picture" (base64), "format", "quality"}.
"""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zlib
from base64 import b64decode
from typing import Any

from nexus_inference_adapters.media import Frames, as_file, confine, one_more_job

MEMORY = 2 << 30
MOST_PIXELS = 40_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = re.compile(rb"[A-Z]...|tRNS|gAMA|cHRM|sRGB|iCCP|cICP|pHYs", re.DOTALL)
"""Chunks that say how it looks. Servers write prompts, and names of their files, into others."""
DEMUXERS = {"png": "png_pipe", "jpeg": "jpeg_pipe", "webp": "webp_pipe"}
HAS_ALPHA = re.compile(r"(rgb|bgr)a|a(rgb|bgr)|ya\d|yuva|gbrap|pal8")
"""Layouts of pixels that can be seen through."""
WHITE = 255


def main() -> None:
    confine(MEMORY)
    frames = Frames()
    for line in sys.stdin:
        one_more_job()
        order = json.loads(line)
        try:
            data, facts = _converted(b64decode(order["picture"]), order["format"], order["quality"])
        except (ValueError, MemoryError) as error:
            frames.failed(str(error) or "it is too large")
            continue
        frames.output(data, **facts)
        frames.done()


def _converted(data: bytes, form: str, quality: int) -> tuple[bytes, dict[str, object]]:
    """Raises ValueError for what is not whole. What is of that format already stays bit for bit where it may."""
    import av
    import numpy as np
    from av.error import FFmpegError

    kind, data = _whole(data)
    try:
        with av.open(io.BytesIO(data), "r", format=DEMUXERS[kind]) as container:
            stream: Any = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(MOST_PIXELS)}
            frame = next(iter(container.decode(stream)))
            if frame.is_corrupt:
                raise ValueError("a part of it is missing")
            has_alpha = HAS_ALPHA.match(frame.format.name) is not None
            pixels: Any = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
    except (FFmpegError, StopIteration, IndexError):
        raise ValueError("it cannot be decoded") from None
    height, width = pixels.shape[:2]
    transparent = has_alpha and bool((pixels[..., 3] < WHITE).any())
    facts: dict[str, object] = {"width": width, "height": height, "transparent": transparent}
    if kind == form and (form == "png" or quality == 100):
        return data, facts
    if has_alpha:
        share = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * share + WHITE * (WHITE - share)) // WHITE).astype(np.uint8)
        facts["transparent"] = False
    return as_file(pixels, form, quality), facts


def _whole(data: bytes) -> tuple[str, bytes]:
    """What it is, and it without what does not show. Raises ValueError where its own marks say it is not whole."""
    if data.startswith(SIGNATURE):
        return "png", _whole_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        if not data.endswith(b"\xff\xd9"):
            raise ValueError("it ends before its end mark")
        return "jpeg", data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        if struct.unpack("<I", data[4:8])[0] + 8 not in (len(data), len(data) + 1):
            raise ValueError("it is not as long as it says")
        return "webp", data
    raise ValueError("it is no PNG, JPEG or WebP")


def _whole_png(data: bytes) -> bytes:
    kept, at, name = [SIGNATURE], len(SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise ValueError("it ends before its end mark")
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise ValueError("it ends before its end mark")
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
            raise ValueError("a part of it is damaged")
        if KEPT.fullmatch(name):
            kept.append(data[at:end])
        at = end
    width, height = struct.unpack(">II", kept[1][8:16])
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has more than {MOST_PIXELS} pixels")
    return b"".join(kept)


if __name__ == "__main__":
    main()
