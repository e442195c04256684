"""Server-sent events: from bytes cut anywhere to normal chunks, and whether a stream has truly ended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Answer, Progress, malformed
from nexus_inference_adapters.openai.chunks import ChunkNormaliser

__all__ = ["Comment", "EventStream", "LineReader", "SseReader"]

DONE = b"[DONE]"
FIELDS = (b"data", b"event", b"id", b"retry", b":")
MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 1024 * 1024


class LineReader:
    """Splits bytes into lines ended by LF or CRLF. A character cut in two is whole again in its line."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._rest = b""
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The lines completed by `data`, without their ends. Raises UPSTREAM_MALFORMED past the limit."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limit or any(len(line) > self._limit for line in lines):
            raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend sent a line longer than 1 MiB.")
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]

    def rest(self) -> bytes:
        """What came after the last line end."""
        return self._rest


class Comment(bytes):
    """The text of a comment line: a keep-alive."""

    __slots__ = ()


class SseReader:
    """Yields the data of whole events, and comments, in order. A half event at the end is never yielded."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that `data` completes. Raises UPSTREAM_MALFORMED for an event beyond 1 MiB."""
        for line in self._lines.feed(data):
            if not self._begun:
                self._begun, line = True, line.removeprefix(MARK)  # noqa: PLW2901 - as the standard has it
            if not line:
                if self._data:
                    event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    self._data, self._size = [], 0
                    yield event
            elif line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(b":"):
                yield Comment(line[1:].strip())
            elif line.startswith((b"event:", b"id:", b"retry:", b"data")):
                continue
            else:
                raise MeshError(
                    Reason.UPSTREAM_MALFORMED, "The backend sent something that is not an event stream."
                )

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_LINE_BYTES:
            raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend sent an event longer than 1 MiB.")
        self._data.append(data)

    def incomplete(self) -> bool:
        """Whether the bytes so far end inside an event. Raises UPSTREAM_MALFORMED when it could never become one."""
        rest = self._lines.rest().strip()
        if rest and not rest.startswith(FIELDS) and not any(field.startswith(rest) for field in FIELDS):
            raise MeshError(
                Reason.UPSTREAM_MALFORMED, "The backend sent something that is not an event stream."
            )
        return bool(self._data) or bool(rest)


class EventStream:
    """An SSE answer on its way to normal chunks: what arrived together goes on together."""

    def __init__(self, chunks: ChunkNormaliser) -> None:
        self.chunks = chunks
        self.done = False
        """Whether the backend said [DONE]: it does so after errors too."""
        self.failure: MeshError | None = None
        """What a part ended with that had content before it: the content goes out first."""
        self._reader = SseReader()

    async def next_part(self, answer: Answer) -> bytes:
        """The next bytes; none when they end, and when they break off after every choice has had its end."""
        try:
            return await answer.part()
        except MeshError:
            if not self.chunks.finished:
                raise
            self.done = True
            return b""

    def take(self, part: bytes) -> list[str] | Progress | None:
        ready: list[str] = []
        try:
            return self._take(part, ready)
        except MeshError as error:
            if self.chunks.finished and not self.chunks.went_on:
                self.done = True  # the answer is whole, whatever came behind it
                return ready or None
            if not ready:
                raise
            self.failure = error
            return ready

    def _take(self, part: bytes, ready: list[str]) -> list[str] | Progress | None:
        comment: Comment | None = None
        for event in self._reader.feed(part):
            if type(event) is Comment:
                comment = event
            elif event.strip() == DONE:
                self.done = True
                break
            elif (chunk := self.chunks.feed(event)) is not None:
                ready.append(chunk)
        return ready or (None if comment is None else _progress(comment))

    def finish(self) -> inference_pb2.Usage | None:
        """The usage. Raises UPSTREAM_MALFORMED or BACKEND_LOST when the stream only looks finished."""
        if self.done and not self.chunks.finished:
            raise malformed("The backend ended its stream without a finish reason.")
        if not self.done and not self.chunks.finished and self._reader.incomplete():
            raise MeshError(Reason.BACKEND_LOST, "The backend's stream ended in the middle of an event.")
        return self.chunks.finish()


def _progress(comment: bytes) -> Progress:
    """mlx-lm's keep-alives count prompt tokens: `keepalive 512/4096`; others say nothing of use."""
    counted = re.fullmatch(rb"keepalive (\d{1,12})/(\d{1,12})", comment)
    return Progress("prompt", int(counted[1]), int(counted[2])) if counted else Progress("waiting")
