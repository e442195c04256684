"""A fresh answer in the place of a cut one: what the client has already is looked for in it, and not sent again."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2

from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.partial import Run

__all__ = ["DiffersError", "catch_up"]

DECODE = msgspec.json.Decoder().decode
ENCODE = msgspec.json.Encoder().encode


class DiffersError(Exception):
    """The fresh answer does not begin with what was sent of the cut one."""


async def catch_up(stream: BackendStream, sent: list[Run]) -> None:
    """Reads an opened stream past what was sent; its `early` has what comes after. Raises DiffersError, MeshError."""
    follower, waiting = _Follower(sent), stream.early
    while True:
        message = waiting.popleft() if waiting else await stream.read()
        if message is None or message.HasField("finish"):
            raise DiffersError
        rest = [text for text in map(follower.follow, message.chunks.json) if text is not None]
        if follower.is_through:
            new = inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=rest))
            stream.early = deque([*([new] if rest else []), *waiting])
            return


class _Follower:
    """Goes through the text that was sent as it comes again."""

    def __init__(self, sent: list[Run]) -> None:
        self._left = deque(sent)

    @property
    def is_through(self) -> bool:
        return not self._left

    def follow(self, chunk: str) -> str | None:
        """What of a chunk is new; None when nothing is. Raises DiffersError."""
        if self.is_through:
            return chunk
        read = DECODE(chunk)
        for choice in read["choices"]:
            delta = choice.get("delta") or {}
            choice["delta"] = {
                field: self._new(field, value) for field, value in delta.items() if field != "role" and value
            }
            if choice.get("finish_reason") and not self.is_through:
                raise DiffersError
        if not self.is_through:
            return None
        says = any(choice.get("finish_reason") or any(choice["delta"].values()) for choice in read["choices"])
        return ENCODE(read).decode() if says else None

    def _new(self, field: str, value: Any) -> Any:
        """What of one field's text was not sent."""
        while self._left and value:
            expected, text = self._left.popleft()
            if field != expected or not isinstance(value, str):
                raise DiffersError
            both = min(len(text), len(value))
            if text[:both] != value[:both]:
                raise DiffersError
            value = value[both:]
            if both < len(text):
                self._left.appendleft((expected, text[both:]))
        return value
