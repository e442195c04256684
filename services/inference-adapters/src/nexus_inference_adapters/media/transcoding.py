"""The process that makes files of samples: run as a file. An order is a JSON object a line, {"rate", "format"}; then
come the samples, 16 bits and mono: a length of four bytes, so many bytes, and again; a length of 0 ends them.

Whatever came is worked off before more is read, and answered by a sign of life: so neither end waits for the other.
"""

from __future__ import annotations

import json
import struct
import sys

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import Encoder

MEMORY = 2 << 30
LENGTH = struct.Struct(">I")
SAMPLE_BYTES = 2


def main() -> None:
    confine(MEMORY)
    frames, source = Frames(), sys.stdin.buffer
    while line := source.readline():
        one_more_job()
        order = json.loads(line)
        encoder, size = Encoder(order["format"], order["rate"], frames.media), 0
        while length := LENGTH.unpack(source.read(LENGTH.size))[0]:
            encoder.feed(source.read(length))
            size += length
            frames.progress(0, 0)
        encoder.end()
        frames.done(seconds=size / SAMPLE_BYTES / order["rate"])


if __name__ == "__main__":
    main()
