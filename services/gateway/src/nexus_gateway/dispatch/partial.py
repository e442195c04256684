"""What was sent of an answer, in case it is cut: to go on with, or to look for in a fresh one."""

from __future__ import annotations

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject

from nexus_gateway.core import InferenceRequest

__all__ = ["DECODE", "Partial", "Run", "is_repeatable", "is_simple"]

DECODE = msgspec.json.Decoder().decode
MORE_THAN_TEXT = ("tools", "functions", "logprobs", "audio", "modalities")
"""Parameters of answers that cannot be compared by their text."""
SPECIAL = (*MORE_THAN_TEXT, "response_format", "logit_bias", "stop")
"""Parameters that tie the answer to more than its text so far."""
LIMITS = ("max_tokens", "max_completion_tokens")

Run = tuple[str, str]
"""A field of the delta, and the text it had until another field's turn came."""


def is_repeatable(request: InferenceRequest) -> bool:
    """Whether an answer is told from another one by its text."""
    if not request.spec.resumable or request.answers != 1:
        return False
    return not any(request.outline.get(name) for name in MORE_THAN_TEXT)


def is_simple(request: InferenceRequest) -> bool:
    """Whether the rest of an answer depends on nothing but the prompt and the text so far."""
    if not is_repeatable(request):
        return False
    return not any(request.outline.get(name) for name in SPECIAL)


class Partial:
    """Keeps the chunks as they are and looks into them only when the stream is cut."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self._before = 0

    def add(self, message: inference_pb2.StreamResponse) -> None:
        """A message that goes to the client."""
        self._chunks.extend(message.chunks.json)

    def continuation(self, body: JsonObject) -> JsonObject | None:
        """The body that asks for the rest; None when there is nothing to go on with, or no room for more."""
        parts = self._pieces() or []
        if not parts or any(field != "content" for field, _ in parts):
            return None
        # Backends send about one token a chunk; nobody counts better from here.
        self._before = len(parts)
        limits = {name: body[name] - self._before for name in LIMITS if body.get(name)}
        if any(limit < 1 for limit in limits.values()):
            return None
        begun = {"role": "assistant", "content": "".join(text for _, text in parts)}
        return {**body, **limits, "messages": [*body["messages"], begun]}

    def runs(self) -> list[Run] | None:
        """What was sent, to be found again in a fresh answer; None when there is nothing, or more than text."""
        self._before = 0
        merged: list[Run] = []
        for field, text in self._pieces() or ():
            if merged and merged[-1][0] == field:
                merged[-1] = field, merged[-1][1] + text
            else:
                merged.append((field, text))
        return merged or None

    def whole_usage(self, rest: inference_pb2.Usage) -> inference_pb2.Usage:
        """The usage of all parts together: what the last backend calls prompt has the answer's beginning in it."""
        return inference_pb2.Usage(
            prompt_tokens=max(0, rest.prompt_tokens - self._before),
            completion_tokens=rest.completion_tokens + self._before,
        )

    def _pieces(self) -> list[Run] | None:
        """The pieces of the answer so far; None when it is more than text, or has ended."""
        pieces: list[Run] = []
        for chunk in self._chunks:
            for choice in DECODE(chunk)["choices"]:
                delta = choice.get("delta") or {}
                if choice.get("finish_reason"):
                    return None
                for field, value in delta.items():
                    if field == "role" or not value:
                        continue
                    if not isinstance(value, str):
                        return None
                    pieces.append((field, value))
        return pieces
