"""Sound as it comes and goes in a session: 16-bit samples at 24 kHz, or G.711 at 8 kHz; always one channel."""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from functools import cache

from nexus_mesh.core import JsonObject

__all__ = ["FORMATS", "PCM", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """`code`: of WAVE files, and of whoever finds speech in it."""

    type: str
    rate: int
    sample_bytes: int
    code: int

    @property
    def bytes_per_ms(self) -> int:
        return self.rate * self.sample_bytes // 1000

    @property
    def wire(self) -> JsonObject:
        """As a session tells it."""
        return {"type": self.type, "rate": self.rate} if self.sample_bytes == 2 else {"type": self.type}

    def milliseconds(self, size: int) -> int:
        return size // self.bytes_per_ms

    def file(self, samples: bytes) -> bytes:
        """A WAVE file."""
        head = struct.pack(
            "<HHIIHH",
            self.code,
            1,
            self.rate,
            self.rate * self.sample_bytes,
            self.sample_bytes,
            8 * self.sample_bytes,
        )
        chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(samples))
        padding = b"\0" * (len(samples) & 1)
        return (
            b"RIFF"
            + struct.pack("<I", len(chunks) + len(samples) + len(padding))
            + chunks
            + samples
            + padding
        )

    def of_pcm(self, samples: bytes) -> bytes:
        """The sound of whole samples at 24 kHz in this format. Of an odd third for G.711 the rest is left out."""
        if self.code == PCM.code:
            return samples
        values = array("h", samples[: len(samples) // 6 * 6])
        if sys.byteorder == "big":
            values.byteswap()
        table = _table(self.code)
        return bytes(
            table[(values[at] + values[at + 1] + values[at + 2]) // 3 & 0xFFFF]
            for at in range(0, len(values), 3)
        )


PCM = Format("audio/pcm", 24_000, 2, 1)
FORMATS = {
    form.type: form for form in (PCM, Format("audio/pcmu", 8_000, 1, 7), Format("audio/pcma", 8_000, 1, 6))
}


@cache
def _table(code: int) -> bytes:
    """G.711 of every 16-bit sample, by it as an unsigned number."""
    encode = _mu_law if code == 7 else _a_law
    return bytes(encode(value - 0x10000 if value > 0x7FFF else value) for value in range(0x10000))


def _mu_law(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0xF) & 0xFF


def _a_law(sample: int) -> int:
    sign = 0 if sample < 0 else 0x80
    magnitude = min(abs(sample) if sample >= 0 else -sample - 1, 32_767) >> 3
    exponent = max(0, magnitude.bit_length() - 5)
    mantissa = magnitude >> max(1, exponent) & 0xF
    return (sign | exponent << 4 | mantissa) ^ 0x55
