"""Whether a prompt fits where it is to go: counted by the backend itself, and only when that is in doubt."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2
from nexus_mesh.errors import MeshError

from nexus_gateway.dispatch import Dispatcher
from nexus_gateway.passage import Passage
from nexus_gateway.request import InferenceRequest

__all__ = ["estimate", "in_doubt", "room", "room_missing"]

LEAST_BYTES = 2
"""Of text for a token, on the average of any prompt worth counting."""
USUAL_BYTES = 4
"""Of text for a token, as prompts have them on average."""
CHECK_SECONDS = 1.0
MEDIA = frozenset({"image_url", "input_audio", "file"})


def in_doubt(passage: Passage) -> bool:
    """Whether the prompt may be too long for the first candidate. One comparison for all that are not long."""
    assert passage.plan is not None  # noqa: S101 - the step before made it
    fitting = LEAST_BYTES * passage.plan.candidates[0].model.context_tokens
    request = passage.request
    if not fitting or 0 < request.size <= fitting:
        return False
    return _text_bytes(_prompt(request)) > fitting


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
    return -(-_text_bytes(_given(request), USUAL_BYTES) // USUAL_BYTES)


def _prompt(request: InferenceRequest) -> Any:
    """What is to be read at once. Of several prompts each has the context to itself: they are never in doubt."""
    given = _given(request)
    if request.operation == model_pb2.OPERATION_CHAT:
        return given
    several = isinstance(given, list) and len(given) > 1 and not isinstance(given[0], int)
    return None if several else given


def _given(request: InferenceRequest) -> Any:
    """All there is to read."""
    body = request.body
    if request.operation == model_pb2.OPERATION_CHAT:
        return [body.get("messages"), body.get("tools")]
    return body.get("prompt" if request.operation == model_pb2.OPERATION_COMPLETION else "input")


def _text_bytes(value: Any, of_id: int = LEAST_BYTES) -> int:
    """Bytes of all text inside a value; a token id counts as `of_id`."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return sum(_text_bytes(each, of_id) for key, each in value.items() if key not in MEDIA)
    if not isinstance(value, list) or not value:
        return 0
    if isinstance(value[0], int):
        return of_id * len(value)
    return sum(_text_bytes(each, of_id) for each in value)
