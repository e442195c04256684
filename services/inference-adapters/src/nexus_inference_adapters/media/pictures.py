"""Pixels in, a picture's file out. The library that encodes is loaded by the first picture."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

__all__ = ["as_file"]

BEST, WORST = 1, 31
"""FFmpeg's scale of JPEG."""


def as_file(pixels: Any, form: str, quality: int = 100) -> bytes:
    """`pixels`: (height, width, 3) of uint8; `form`: an OpenAI `output_format`.

    `quality`: 0 to 100, of what loses something; WebP loses nothing at 100, PNG never does.
    """
    import av

    codec, layout, options = _coding(form, quality)
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = pixels.shape[1], pixels.shape[0], layout
    encoder.time_base, encoder.sample_aspect_ratio = Fraction(1), Fraction(1)  # JFIF's head needs the latter
    encoder.options = {"flags": "+bitexact", **options}
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    if layout != "rgb24":
        frame = frame.reformat(format=layout)
    return b"".join(bytes(packet) for last in (frame, None) for packet in encoder.encode(last))


def _coding(form: str, quality: int) -> tuple[str, str, dict[str, str]]:
    """Codec, how it wants the pixels, and its options."""
    if form == "png":
        return "png", "rgb24", {}
    if form == "webp":
        lossless = quality == 100
        return (
            "libwebp",
            "bgra" if lossless else "yuv420p",
            {"lossless": "1"} if lossless else {"quality": str(quality)},
        )
    scale = str(round(WORST - (WORST - BEST) * quality / 100))
    return "mjpeg", "yuvj444p", {"qmin": scale, "qmax": scale}
