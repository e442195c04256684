"""Samples in, a file of the format that was asked for out, in pieces as they are made: nothing is ever gone back to."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Encoder"]

SAMPLE_BYTES = 2
PCM_RATE = 24_000
"""OpenAI's."""
UNKNOWN_SIZE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Coding:
    """How FFmpeg makes one. `rate` 0 = that of the samples."""

    container: str
    codec: str
    rate: int = 0
    bits: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


CODINGS: Mapping[str, Coding] = {
    "mp3": Coding("mp3", "libmp3lame", PCM_RATE, 64_000, {"write_xing": "0", "id3v2_version": "0"}),
    "opus": Coding("ogg", "libopus", PCM_RATE, 32_000, {"page_duration": "200000"}),
    "aac": Coding("adts", "aac", PCM_RATE, 64_000),
    "flac": Coding("flac", "flac"),
}


class Encoder:
    """One output: `sink` gets its bytes. Samples are 16 bits, mono, `rate` a second.

    The library that encodes is loaded by the first output that needs it; WAV at the samples' own rate does not.
    """

    def __init__(self, form: str, rate: int, sink: Callable[[bytes], None]) -> None:
        """`form`: an OpenAI `response_format`."""
        self._rate, self._sink = rate, sink
        self._encoder: _Plain | _Resampled | _Coded
        if form == "wav":
            sink(_wave_head(rate))
            self._encoder = _Plain(sink)
        elif form == "pcm":
            self._encoder = _Plain(sink) if rate == PCM_RATE else _Resampled(rate, sink)
        else:
            self._encoder = _Coded(CODINGS[form], rate, sink)

    def feed(self, samples: bytes) -> None:
        if samples:
            self._encoder.feed(samples)

    def end(self) -> None:
        """What is still inside comes out."""
        self._encoder.end()


class _Plain:
    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self.feed = sink

    def end(self) -> None:
        """Nothing is inside."""


class _Resampled:
    def __init__(self, rate: int, sink: Callable[[bytes], None]) -> None:
        import av

        self._frames = _FrameMaker(rate)
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=PCM_RATE)
        self._sink = sink

    def feed(self, samples: bytes) -> None:
        self._hand_on(self._frames.of(samples))

    def end(self) -> None:
        self._hand_on(None)

    def _hand_on(self, frame: Any) -> None:
        for made in self._resampler.resample(frame):
            self._sink(bytes(made.planes[0])[: made.samples * SAMPLE_BYTES])


class _Coded:
    def __init__(self, coding: Coding, rate: int, sink: Callable[[bytes], None]) -> None:
        import av

        self._frames = _FrameMaker(rate)
        told = {"flush_packets": "1", **coding.options}
        self._container = av.open(_Writer(sink), "w", format=coding.container, options=told)
        stream: Any = self._container.add_stream(coding.codec, rate=coding.rate or rate, layout="mono")
        if coding.bits:
            stream.bit_rate = coding.bits
        self._stream = stream

    def feed(self, samples: bytes) -> None:
        self._container.mux(self._stream.encode(self._frames.of(samples)))

    def end(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


class _FrameMaker:
    def __init__(self, rate: int) -> None:
        self._rate, self._at = rate, 0

    def of(self, samples: bytes) -> Any:
        from fractions import Fraction

        import av

        count = len(samples) // SAMPLE_BYTES
        frame = av.AudioFrame(format="s16", layout="mono", samples=count, align=1)
        frame.planes[0].update(samples)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._at
        self._at += count
        return frame


class _Writer:
    """A file that can only be written on."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink(bytes(data))
        return len(data)


def _wave_head(rate: int) -> bytes:
    """Of a file whose length nobody knows yet."""
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    size = struct.pack("<I", UNKNOWN_SIZE)
    return b"RIFF" + size + b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + size
