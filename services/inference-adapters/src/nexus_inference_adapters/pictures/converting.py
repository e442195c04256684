"""The process that decodes strangers' pictures: run as a file, so that it loads no more of the adapter than it needs.

Orders come on standard input, one JSON object a line: {"picture" (base64), "format", "quality"}.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import UnreadableError, as_file, read_picture

MEMORY = 2 << 30
JOB_SECONDS = 60
LARGEST = 8192
"""Pixels of each side."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = re.compile(rb"[A-Z]...|tRNS|gAMA|cHRM|sRGB|iCCP|cICP|pHYs", re.DOTALL)
"""Chunks that say how it looks. Servers write prompts, and names of their files, into others."""
OPAQUE = 255


def main() -> None:
    confine(MEMORY)
    frames = Frames()
    for line in sys.stdin:
        one_more_job(JOB_SECONDS)
        order = json.loads(line)
        try:
            data, facts = _converted(b64decode(order["picture"]), order["format"], order["quality"])
        except UnreadableError as error:
            frames.failed(str(error))
            continue
        frames.output(data, **facts)
        frames.done()


def _converted(data: bytes, form: str, quality: int) -> tuple[bytes, dict[str, object]]:
    """What can be seen through stays so in PNG, and is put on white in the others."""
    import numpy as np

    pixels: Any = read_picture(data, 1, LARGEST)
    height, width, _ = pixels.shape
    facts: dict[str, object] = {"width": width, "height": height, "transparent": False}
    if (pixels[..., 3] < OPAQUE).any():
        if form == "png" and data.startswith(SIGNATURE):
            return SIGNATURE + b"".join(_shown(data)), {**facts, "transparent": True}
        share = pixels[..., 3:].astype(np.uint16)
        pixels = (pixels[..., :3] * share + OPAQUE * (OPAQUE - share)) // OPAQUE
    return as_file(np.ascontiguousarray(pixels[..., :3], np.uint8), form, quality), facts


def _shown(data: bytes) -> Iterator[bytes]:
    """The chunks of a PNG that has been decoded, without those that do not show."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if KEPT.fullmatch(data[at + 4 : at + 8]):
            yield data[at : at + 12 + length]
        at += 12 + length


if __name__ == "__main__":
    main()
