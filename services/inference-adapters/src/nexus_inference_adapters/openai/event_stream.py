"""An SSE answer on its way to normal chunks, and the judgement whether it has truly ended."""

from __future__ import annotations

import re

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Answer, Progress, malformed
from nexus_inference_adapters.openai.chunks import ChunkNormaliser
from nexus_inference_adapters.openai.sse import Comment, SseReader

__all__ = ["EventStream"]

DONE = b"[DONE]"


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
