"""Sound of a server, looked at while it passes: whether it is of the format it should be, and has come to its end.

HTTP tells when a body was cut. Not when the program behind it ended early and its server closed the body in good order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import malformed

__all__ = ["UNKNOWN_LENGTH", "Ending", "Wave"]

UNKNOWN_LENGTH = 0x7FFFFFFF
"""From so many bytes on a WAV's length is none: who streams puts the largest numbers there, or none at all."""
HEAD_BYTES = 64 * 1024
PAGE = 65_536
PAGE_ENDS_STREAM, FLAGS = 4, 5


class Wave:
    """The head of a WAV file, as it comes; `rate`, `channels` and `bits` are known once `at` is."""

    def __init__(self) -> None:
        self.rate = self.channels = self.bits = 0
        self.at = 0
        """Where its samples begin; 0 = not known yet."""
        self.size = 0
        """Bytes of them as the head tells it."""
        self._head = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The samples among what came. Raises UPSTREAM_MALFORMED for what is no WAV."""
        if self.at:
            return data
        self._head += data
        if not self._head.startswith(b"RIFF"[: len(self._head)]) or len(self._head) > HEAD_BYTES:
            raise malformed("The backend was asked for WAV, and its answer is something else.")
        at = 12
        while at + 8 <= len(self._head):
            name, size = bytes(self._head[at : at + 4]), int.from_bytes(self._head[at + 4 : at + 8], "little")
            if name == b"fmt " and at + 24 <= len(self._head):
                self.channels = int.from_bytes(self._head[at + 10 : at + 12], "little")
                self.rate = int.from_bytes(self._head[at + 12 : at + 16], "little")
                self.bits = int.from_bytes(self._head[at + 22 : at + 24], "little")
            if name == b"data":
                self.at, self.size = at + 8, size
                samples, self._head = bytes(self._head[self.at :]), bytearray()
                return samples
            at += 8 + size + size % 2
        return b""

    @property
    def tells_its_length(self) -> bool:
        return 0 < self.size < UNKNOWN_LENGTH


def _sync(data: bytes) -> bool:
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0


SIGNS: Mapping[str, Callable[[bytes], bool]] = {
    "mp3": lambda data: data.startswith(b"ID3") or _sync(data),
    "opus": lambda data: data.startswith(b"OggS"),
    "aac": lambda data: _sync(data) and data[1] & 0x06 == 0,
    "flac": lambda data: data.startswith(b"fLaC"),
    "wav": lambda data: data.startswith(b"RIFF"),
    "pcm": lambda _: True,
}
"""How sound of each format begins."""
SIGN_BYTES = 4


class Ending:
    """Of one sound in an OpenAI `response_format`. Raises UPSTREAM_MALFORMED, BACKEND_LOST."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._wave = Wave() if form == "wav" else None
        self._first = b""
        self._tail = b""
        self.size = 0
        self._samples = 0

    @property
    def seconds(self) -> float:
        """How long it is, where its format tells without being decoded; else 0."""
        wave = self._wave
        if wave is None or not wave.rate or not wave.channels or not wave.bits:
            return 0.0
        return self._samples * 8 / wave.rate / wave.channels / wave.bits

    def hear(self, data: bytes) -> None:
        """The next bytes of it."""
        if len(self._first) < SIGN_BYTES:
            self._first += data[:SIGN_BYTES]
            if len(self._first) >= SIGN_BYTES and not SIGNS[self._form](self._first):
                raise malformed(f"The backend was asked for {self._form}, and its answer is something else.")
        self.size += len(data)
        if self._wave is not None:
            self._samples += len(self._wave.feed(data))
        if self._form == "opus":
            self._tail = (self._tail + data)[-PAGE:]

    def finish(self) -> None:
        """Nothing more comes."""
        if not self.size or len(self._first) < SIGN_BYTES:
            raise malformed("The backend's answer has no sound in it.")
        wave = self._wave
        if wave is not None and (not wave.at or (wave.tells_its_length and self._samples < wave.size)):
            raise _cut()
        if self._form == "opus":
            page = self._tail.rfind(b"OggS")
            if page < 0 or len(self._tail) <= page + FLAGS or not self._tail[page + FLAGS] & PAGE_ENDS_STREAM:
                raise _cut()


def _cut() -> MeshError:
    return MeshError(Reason.BACKEND_LOST, "The backend's sound ended before its end. Retry the request.")
