"""A process that says how likely each moment of a sound is speech: `... nexus_gateway/detecting/worker.py MODEL`.

Orders come on its standard input, answers go to its standard output, one for each order and in their order; it ends
with its input. An order: a stream's number, a format, the number of bytes, the bytes. An answer: how many
probabilities, each a float of 32 bits, for each next window of 32 ms. Streams know nothing of each other.
"""

from __future__ import annotations

import resource
import struct
import sys
from typing import Any, BinaryIO

PCM_24K, MU_LAW, A_LAW, FORGET = 1, 7, 6, 0
"""Formats by their codes in WAVE files; the last ends a stream."""
ORDER, ANSWER = struct.Struct("<IBI"), struct.Struct("<I")
RATE, WINDOW, CONTEXT = 16_000, 512, 64
LARGEST_ORDER = 16 << 20
MEMORY = 4 << 30
"""Of addresses, which libraries reserve in plenty."""
MOST_STREAMS = 1024


class _Stream:
    """What is remembered of one sound."""

    def __init__(self, numpy: Any) -> None:
        self._np = numpy
        self.rest = numpy.zeros(0, numpy.float32)
        """Of the sound as it came, what is no whole piece yet."""
        self.sound = numpy.zeros(0, numpy.float32)
        """At 16 kHz, what is no whole window yet."""
        self.context = numpy.zeros(CONTEXT, numpy.float32)
        self.state = [numpy.zeros((1, 1, 128), numpy.float32) for _ in range(2)]

    def take(self, form: int, data: bytes) -> None:
        np = self._np
        if form == PCM_24K:
            came = np.frombuffer(data, "<i2").astype(np.float32) / 32768.0
            came = np.concatenate([self.rest, came])
            whole = len(came) // 3 * 3
            three = came[:whole].reshape(-1, 3)
            # Two samples for each three: each is the mean of what it stands for.
            made = np.stack(
                [(2 * three[:, 0] + three[:, 1]) / 3, (three[:, 1] + 2 * three[:, 2]) / 3], 1
            ).ravel()
        else:
            came = np.concatenate([self.rest, _table(np, form)[np.frombuffer(data, np.uint8)]])
            whole = max(0, len(came) - 1)
            made = np.stack([came[:whole], (came[:whole] + came[1:]) / 2], 1).ravel()
        self.rest = came[whole:]
        self.sound = np.concatenate([self.sound, made.astype(np.float32)])

    def judge(self, session: Any) -> list[float]:
        np = self._np
        found: list[float] = []
        while len(self.sound) >= WINDOW:
            window, self.sound = self.sound[:WINDOW], self.sound[WINDOW:]
            given = np.concatenate([self.context, window])[None, :]
            told, *self.state = session.run(None, {"input": given, "h": self.state[0], "c": self.state[1]})
            self.context = window[-CONTEXT:]
            found.append(float(told.ravel()[0]))
        return found


def _table(np: Any, form: int) -> Any:
    """Samples of G.711, by its bytes."""
    code = np.arange(256, dtype=np.int32)
    if form == MU_LAW:
        code = ~code & 0xFF
        size = (((code & 0xF) << 3) + 132 << (code >> 4 & 7)) - 132
        return (np.where(code & 0x80, -size, size) / 32768.0).astype(np.float32)
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, (code & 0xF) << 4
    size = np.where(exponent > 0, mantissa + 0x108 << np.maximum(exponent - 1, 0), mantissa + 8)
    return (np.where(code & 0x80, size, -size) / 32768.0).astype(np.float32)


def main(model: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # a Mac takes none
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    streams: dict[int, _Stream] = {}
    while head := _read(sys.stdin.buffer, ORDER.size):
        number, form, size = ORDER.unpack(head)
        if size > LARGEST_ORDER:
            return
        data = _read(sys.stdin.buffer, size)
        found: list[float] = []
        if form == FORGET:
            streams.pop(number, None)
        elif number in streams or len(streams) < MOST_STREAMS:
            stream = streams.setdefault(number, _Stream(np))
            stream.take(form, data)
            found = stream.judge(session)
        sys.stdout.buffer.write(ANSWER.pack(len(found)) + struct.pack(f"<{len(found)}f", *found))
        sys.stdout.buffer.flush()


def _read(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if data and len(data) < size:
        sys.exit(1)
    return data


if __name__ == "__main__":
    main(sys.argv[1])
