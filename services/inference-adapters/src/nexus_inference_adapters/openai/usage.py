"""Token counts as backends tell them. What is no count is not told: an answer is never lost for its bill."""

from __future__ import annotations

from typing import Any

from nexus.inference.v1 import inference_pb2

__all__ = ["count_of", "usage_fields", "usage_of"]

MOST = 2**53


def count_of(said: Any) -> int | None:
    """A number of tokens; None for anything that is none."""
    if isinstance(said, str):
        said = int(said) if said.isascii() and said.isdigit() and len(said) <= 15 else None
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    return said if type(said) is int and 0 <= said <= MOST else None


def usage_of(said: Any) -> inference_pb2.Usage | None:
    """The usage a backend told; None when it told neither count."""
    if not isinstance(said, dict):
        return None
    prompt, completion = count_of(said.get("prompt_tokens")), count_of(said.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    usage = inference_pb2.Usage(prompt_tokens=prompt or 0, completion_tokens=completion or 0)
    if (cached := _detail(said, "prompt_tokens_details", "cached_tokens")) is not None:
        usage.cached_tokens = cached
    if (reasoned := _detail(said, "completion_tokens_details", "reasoning_tokens")) is not None:
        usage.reasoning_tokens = reasoned
    return usage


def usage_fields(usage: inference_pb2.Usage) -> dict[str, Any]:
    """The same as OpenAI's object."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    counts: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if usage.HasField("cached_tokens"):
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.HasField("reasoning_tokens"):
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def _detail(said: dict[str, Any], group: str, name: str) -> int | None:
    details = said.get(group)
    return count_of(details.get(name)) if isinstance(details, dict) else None
