"""Files of sound for servers that are not here: a tone in every format that is asked of them."""

from __future__ import annotations

import io
import math
import struct
from functools import cache
from typing import Any

import av
import numpy as np

__all__ = ["tone", "unknown_length"]

CODECS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac"), "flac": ("flac", "flac"),
          "wav": ("wav", "pcm_s16le")}  # fmt: skip


@cache
def tone(form: str, seconds: float = 3.0, rate: int = 24_000) -> bytes:
    """440 Hz, mono; `pcm` is the samples alone."""
    times = np.arange(round(seconds * rate)) / rate
    samples = (np.sin(times * 2 * math.pi * 440) * 12_000).astype("<i2")
    if form == "pcm":
        return samples.tobytes()
    container, codec = CODECS[form]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout="mono", rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )  # fmt: skip
        for made in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    return file.getvalue()


def unknown_length(wave: bytes) -> bytes:
    """The same WAV as it is streamed: nobody knew yet how long it would be."""
    data = wave.index(b"data") + 4
    nobody_knows = struct.pack("<I", 0xFFFFFFFF)
    return wave[:4] + nobody_knows + wave[8:data] + nobody_knows + wave[data + 4 :]
