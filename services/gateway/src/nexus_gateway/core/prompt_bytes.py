"""How many bytes of text there are to read in a request's body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject

__all__ = ["LEAST_BYTES", "USUAL_BYTES", "PromptBytes", "prompt_bytes"]

LEAST_BYTES = 2
"""Of text for a token, on the average of any prompt worth counting."""
USUAL_BYTES = 4
"""Of text for a token, as prompts have them on average."""
MEDIA = frozenset({"image_url", "input_audio", "file"})


@dataclass(frozen=True, slots=True)
class PromptBytes:
    """`given`: of all prompts. `at_once`: of what must fit into a context together."""

    given: int
    at_once: int


def prompt_bytes(operation: int, body: JsonObject) -> PromptBytes:
    """Pictures and sounds left out; a token id is as many as a token has usually, or at least."""
    if operation == model_pb2.OPERATION_CHAT:
        given = [body.get("messages"), body.get("tools")]
    else:
        given = body.get("prompt" if operation == model_pb2.OPERATION_COMPLETION else "input")
    text, ids = _count(given)
    # Of several prompts each has the context to itself: they are never in doubt.
    several = (
        operation != model_pb2.OPERATION_CHAT
        and isinstance(given, list)
        and len(given) > 1
        and not isinstance(given[0], int)
    )
    return PromptBytes(text + USUAL_BYTES * ids, 0 if several else text + LEAST_BYTES * ids)


def _count(value: Any) -> tuple[int, int]:
    """Bytes of all text inside a value, and how many token ids."""
    if isinstance(value, str):
        return (len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))), 0
    if isinstance(value, dict):
        parts = [_count(each) for key, each in value.items() if key not in MEDIA]
    elif not isinstance(value, list) or not value:
        return 0, 0
    elif isinstance(value[0], int):
        return 0, len(value)
    else:
        parts = [_count(each) for each in value]
    return sum(text for text, _ in parts), sum(ids for _, ids in parts)
