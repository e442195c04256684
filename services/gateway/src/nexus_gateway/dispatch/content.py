"""Whether a message of a stream is an answer yet: a role or an empty delta is none."""

from __future__ import annotations

from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

__all__ = ["has_content"]

DECODE = msgspec.json.Decoder().decode


def has_content(message: inference_pb2.StreamResponse) -> bool:
    """Text, a tool call, reasoning, a finish reason, or the end itself. Raises UPSTREAM_MALFORMED."""
    event = message.WhichOneof("event")
    if event == "chunks":
        return any(_is_real(chunk) for chunk in message.chunks.json)
    return event == "finish"


def _is_real(chunk: str) -> bool:
    try:
        return any(_says_something(choice) for choice in DECODE(chunk)["choices"])
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED, "The backend sent something that is no chunk of an answer."
        ) from None


def _says_something(choice: dict[str, Any]) -> bool:
    if choice.get("finish_reason") or choice.get("text"):
        return True
    return any(value for key, value in (choice.get("delta") or {}).items() if key != "role")
