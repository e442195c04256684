"""Whether a prompt fits where it is to go: counted by the backend itself, and only when that is in doubt."""

from __future__ import annotations

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError

from nexus_gateway.dispatch import Dispatcher
from nexus_gateway.passage import Passage
from nexus_gateway.prompt_bytes import LEAST_BYTES, USUAL_BYTES
from nexus_gateway.request import InferenceRequest

__all__ = ["estimate", "in_doubt", "room", "room_missing"]

CHECK_SECONDS = 1.0


def in_doubt(passage: Passage) -> bool:
    """Whether the prompt may be too long for the first candidate. One comparison for all that are not long."""
    assert passage.plan is not None  # noqa: S101 - the step before made it
    fitting = LEAST_BYTES * passage.plan.candidates[0].model.context_tokens
    request = passage.request
    if not fitting or 0 < request.size <= fitting:
        return False
    return request.prompt_bytes.at_once > fitting


def room(operation: int, prompt_tokens: int) -> int:
    """Tokens of context a prompt needs: an answer is at least one, an embedding none."""
    return prompt_tokens + (operation != model_pb2.OPERATION_EMBEDDING)


async def room_missing(dispatcher: Dispatcher, passage: Passage) -> int:
    """The context the request needs if the first candidate counts more than it has; 0 when it fits or nobody counted.

    An estimate says nothing: then the backend decides when it reads the prompt.
    """
    assert passage.plan is not None  # noqa: S101 - the step before made it
    candidate = passage.plan.candidates[0]
    try:
        counted = await dispatcher.count_at(passage, candidate, CHECK_SECONDS)
    except MeshError:
        return 0
    passage.counted = counted.prompt_tokens
    needed = 0 if counted.estimated else room(passage.request.operation, counted.prompt_tokens)
    return needed if needed > candidate.model.context_tokens else 0


def estimate(request: InferenceRequest) -> int:
    """About how many tokens all prompts of a request are: a quarter of their bytes, pictures and sounds left out."""
    return -(-request.prompt_bytes.given // USUAL_BYTES)
