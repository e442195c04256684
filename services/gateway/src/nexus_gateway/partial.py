"""What of an answer has reached the client: enough to let another backend of the same model go on with it."""

from __future__ import annotations

from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2

from nexus_gateway.request import InferenceRequest

__all__ = ["Partial", "is_simple"]

DECODE = msgspec.json.Decoder().decode
SPECIAL = ("tools", "functions", "response_format", "logprobs", "logit_bias", "audio", "modalities", "stop")
"""Parameters that tie the answer to more than its text so far."""
LIMITS = ("max_tokens", "max_completion_tokens")


def is_simple(request: InferenceRequest) -> bool:
    """Whether the rest of an answer depends on nothing but the prompt and the text so far."""
    if request.operation != model_pb2.OPERATION_CHAT or request.answers != 1:
        return False
    body = request.body
    return not any(body.get(name) for name in SPECIAL)


class Partial:
    """Keeps the chunks as they are and looks into them only when the stream is cut."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self._before = 0

    def add(self, message: inference_pb2.StreamResponse) -> None:
        """A message that goes to the client."""
        self._chunks.extend(message.chunks.json)

    def continuation(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The body that asks for the rest; None when there is nothing to go on with, or no room for more."""
        parts = self._texts()
        if not parts:
            return None
        # Backends send about one token a chunk; nobody counts better from here.
        self._before = len(parts)
        limits = {name: body[name] - self._before for name in LIMITS if body.get(name)}
        if any(limit < 1 for limit in limits.values()):
            return None
        begun = {"role": "assistant", "content": "".join(parts)}
        return {**body, **limits, "messages": [*body["messages"], begun]}

    def whole_usage(self, rest: inference_pb2.Usage) -> inference_pb2.Usage:
        """The usage of all parts together: what the last backend calls prompt has the answer's beginning in it."""
        return inference_pb2.Usage(
            prompt_tokens=max(0, rest.prompt_tokens - self._before),
            completion_tokens=rest.completion_tokens + self._before,
        )

    def _texts(self) -> list[str] | None:
        """The pieces of the answer so far; None when it is more than text, or has ended."""
        pieces: list[str] = []
        for chunk in self._chunks:
            for choice in DECODE(chunk)["choices"]:
                delta = choice.get("delta") or {}
                if choice.get("finish_reason") or delta.keys() - {"role", "content"}:
                    return None
                pieces.append(delta.get("content") or "")
        return [piece for piece in pieces if piece]
