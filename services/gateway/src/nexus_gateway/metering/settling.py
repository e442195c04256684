"""What an answer has used that nobody counted: a stream that was cut, that its client left, or without a usage."""

from __future__ import annotations

from nexus.inference.v1 import inference_pb2

from nexus_gateway.core import Passage, estimate

__all__ = ["settle"]


def settle(passage: Passage) -> None:
    """Gives the passage an estimated usage where content was streamed and there is no better one.

    Backends send about a token a chunk, besides a first chunk and a last one without any.
    """
    if passage.usage is None and passage.chunks:
        tokens = max(1, passage.chunks - 1 - passage.finished)
        prompt = passage.counted or estimate(passage.request)
        passage.usage = inference_pb2.Usage(prompt_tokens=prompt, completion_tokens=tokens)
        passage.estimated = True
