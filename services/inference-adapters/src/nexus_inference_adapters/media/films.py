"""Pictures in, a film's file out: MP4 with H.264, as every player has it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

__all__ = ["as_film"]

OPTIONS = {"preset": "fast", "crf": "16", "threads": "1", "flags": "+bitexact"}
"""One thread encodes the same on every machine."""


def as_film(pictures: Iterable[Any], rate: int) -> bytes:
    """`pictures`: (height, width, 3) of uint8 each, of even sides, `rate` of them a second; at least one."""
    import av

    file, stream = io.BytesIO(), None
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        for pixels in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=OPTIONS)
                stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        if stream is not None:
            for packet in stream.encode():
                container.mux(packet)
    return file.getvalue()
