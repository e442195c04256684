"""How a worker answers on its standard output: a letter, a length, so many bytes; and again."""

from __future__ import annotations

import json
import os
import struct
import time
from dataclasses import dataclass

__all__ = ["DONE", "FAILED", "FRAME_BYTES", "HEAD", "MEDIA", "OUTPUT", "PROGRESS", "Frame", "Frames"]

HEAD = struct.Struct(">cI")
MEDIA, OUTPUT, PROGRESS, DONE, FAILED = b"M", b"O", b"P", b"D", b"F"
"""Bytes of the output; what the bytes that follow are, where there are several outputs; {"done", "total"}; the end,
with facts; the end, with {"problem"}."""
FRAME_BYTES = 64 * 1024
GATHERED = 16 * 1024
"""Bytes that go together, once the first ones are gone."""
SOON = 0.05
"""Seconds after which fewer go as well."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One of them; of all but media the value of its JSON."""

    kind: bytes
    data: bytes

    @property
    def facts(self) -> dict[str, object]:
        return json.loads(self.data or b"{}")


class Frames:
    """The worker's end. Everything else that is printed goes nowhere."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        self._gathered = bytearray()
        self._sent_at = 0.0

    def media(self, data: bytes) -> None:
        """The next bytes of the output. It waits for as long as nobody reads."""
        self._gathered += data
        if len(self._gathered) >= GATHERED or time.monotonic() - self._sent_at >= SOON:
            self._flush()

    def output(self, data: bytes, **facts: object) -> None:
        """One of several outputs, whole. Its bytes are told as `size` beside the facts."""
        self._send(OUTPUT, json.dumps({**facts, "size": len(data)}).encode())
        self._gathered += data
        self._flush()

    def progress(self, done: int, total: int) -> None:
        self._send(PROGRESS, json.dumps({"done": done, "total": total}).encode())

    def done(self, **facts: object) -> None:
        """The good end of a job."""
        self._flush()
        self._send(DONE, json.dumps(facts).encode())
        self._sent_at = 0.0

    def failed(self, problem: str) -> None:
        """The other end."""
        self._gathered.clear()
        self._send(FAILED, json.dumps({"problem": problem}).encode())

    def _flush(self) -> None:
        view = memoryview(bytes(self._gathered))
        self._gathered.clear()
        for at in range(0, len(view), FRAME_BYTES):
            self._send(MEDIA, view[at : at + FRAME_BYTES])
        self._sent_at = time.monotonic()

    def _send(self, kind: bytes, data: bytes | memoryview) -> None:
        rest = memoryview(HEAD.pack(kind, len(data)) + bytes(data))
        while rest:
            rest = rest[os.write(self._out, rest) :]
