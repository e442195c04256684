"""Sound, opened by a decoder that had no part in making it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

__all__ = ["Sound", "heard"]


@dataclass(frozen=True)
class Sound:
    """`samples` in -1..1, mono; `rate` of them a second."""

    container: str
    codec: str
    channels: int
    rate: int
    samples: Any

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @property
    def loudness(self) -> float:
        """Root mean square."""
        return float(np.sqrt(np.mean(np.square(self.samples, dtype=np.float64))))


def heard(data: bytes) -> Sound:
    """Raises av.FFmpegError for what is no sound."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
        samples = np.concatenate(
            [
                made.to_ndarray()[0]
                for frame in [*container.decode(stream), None]
                for made in resampler.resample(frame)
            ]
        )
        name = container.format.name.split(",")[0]
        return Sound(name, stream.codec.name, stream.channels, stream.rate, samples)
