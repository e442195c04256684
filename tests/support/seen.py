"""A picture's file, opened by a decoder."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["Seen", "seen"]


@dataclass
class Seen:
    """`pixels`: (height, width, 3)."""

    codec: str
    pixels: NDArray[np.uint8]


def seen(data: bytes) -> Seen:
    """The first picture of it."""
    with av.open(io.BytesIO(data), "r") as container:
        frame = next(container.decode(video=0))
        pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        return Seen(container.streams.video[0].codec_context.name, pixels)
