"""How large a prompt is where nobody has counted it."""

from __future__ import annotations

from nexus.types.v1 import model_pb2

from nexus_gateway.core.prompt_bytes import USUAL_BYTES
from nexus_gateway.core.request import InferenceRequest

__all__ = ["estimate", "room"]


def estimate(request: InferenceRequest) -> int:
    """About how many tokens all prompts of a request are: a quarter of their bytes, pictures and sounds left out."""
    return -(-request.prompt_bytes.given // USUAL_BYTES)


def room(operation: int, prompt_tokens: int) -> int:
    """Tokens of context a prompt needs: an answer is at least one, an embedding none."""
    return prompt_tokens + (operation != model_pb2.OPERATION_EMBEDDING)
