"""Whether a prompt fits where it is to go: counted by the backend itself, and only when that is in doubt."""

from __future__ import annotations

from nexus_mesh.core import MeshError

from nexus_gateway.core import LEAST_BYTES, Passage, room
from nexus_gateway.dispatch.dispatcher import Dispatcher

__all__ = ["in_doubt", "room_missing"]

CHECK_SECONDS = 1.0


def in_doubt(passage: Passage) -> bool:
    """Whether the prompt may be too long for the first candidate. One comparison for all that are not long."""
    fitting = LEAST_BYTES * passage.chosen.candidates[0].model.context_tokens
    request = passage.request
    if not fitting or 0 < request.size <= fitting:
        return False
    return request.prompt_bytes.at_once > fitting


async def room_missing(dispatcher: Dispatcher, passage: Passage) -> int:
    """The context the request needs if the first candidate counts more than it has; 0 when it fits or nobody counted.

    An estimate says nothing: then the backend decides when it reads the prompt.
    """
    candidate = passage.chosen.candidates[0]
    try:
        counted = await dispatcher.count_at(passage, candidate, CHECK_SECONDS)
    except MeshError:
        return 0
    passage.counted = counted.prompt_tokens
    needed = 0 if counted.estimated else room(passage.request.operation, counted.prompt_tokens)
    return needed if needed > candidate.model.context_tokens else 0
