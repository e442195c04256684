"""Rules that hold for streamed and whole answers alike: finish reasons, log probabilities, counts, decoding.

What is no count is not told: an answer is never lost for its bill.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import from_event, malformed
from nexus_inference_adapters.openai.types import Delta

__all__ = [
    "count_of",
    "decoded",
    "finish_reason",
    "logprobs_of",
    "reported",
    "text_of",
    "tidy",
    "usage_of",
]

T = TypeVar("T")

# Engines that cut an answer short say so in many words: to OpenAI's clients all of them are `length`.
FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "max_tokens": "length",
    "max_length": "length",
    "max_new_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "context_length": "length",
    "repetition": "length",
    "safety": "content_filter",
    "refusal": "content_filter",
}
FAILED = frozenset({"abort", "error", "cancelled", "load", "unload"})
MAY_BE_ABSENT = frozenset({
    "refusal", "reasoning", "reasoning_content", "thinking", "tool_calls", "function_call", "delta", "choices",
})  # fmt: skip
MOST_TOKENS = 2**53
OTHERWISE = "stop"
"""eos, eos_token, stop_sequence, end_turn, and whatever else a backend says at the end of an answer that is there."""


def finish_reason(said: Any) -> str | None:
    """OpenAI's word for a backend's finish reason; None while there is none. Raises UPSTREAM_ERROR for a failure."""
    if not said:
        return None
    if isinstance(said, dict):
        said = said.get("type")  # SGLang's own form
    word = said.lower() if isinstance(said, str) else ""
    if word in FAILED:
        raise MeshError(Reason.UPSTREAM_ERROR, "The backend stopped before the answer was complete.")
    return FINISH_REASONS.get(word, OTHERWISE)


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decodes and checks types. Raises UPSTREAM_MALFORMED, or what the backend reported in place of an answer."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        pass
    try:
        # NaN and its like are no JSON, and no reason to lose what stands beside them.
        loose = json.loads(raw, parse_constant=lambda _: None, object_hook=_without_empties)
        return msgspec.convert(loose, decoder.type)
    except (ValueError, RecursionError):
        raise reported(raw) or malformed("The backend's answer is not what its API promises.") from None


def _without_empties(found: dict[str, Any]) -> dict[str, Any]:
    """Nothing is said as false, 0, "", [] and {} too, whatever type the field has when it says something."""
    for name in MAY_BE_ABSENT & found.keys():
        found[name] = found[name] or None
    return found


def reported(raw: bytes) -> MeshError | None:
    """The error a backend sent in place of an answer, if it did."""
    try:
        body = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    return from_event(body) if isinstance(body, dict) and _is_error(body) else None


def _is_error(body: dict[str, Any]) -> bool:
    return bool(body.get("error")) or (body.get("object") == "error" and "code" in body)


def logprobs_of(operation: int, said: Any) -> dict[str, Any] | None:
    """Log probabilities with every key OpenAI requires; text completions have another form and keep theirs.

    None where they are not what they should be: whether that breaks a promise is judged elsewhere.
    """
    if not isinstance(said, dict):
        return None
    if spec_of(operation).form is not Form.MESSAGE:
        return said
    tokens = said.get("content")
    if not isinstance(tokens, list):
        return None
    normal = [_token(token) for token in tokens]
    return None if None in normal else {"content": normal, "refusal": None}


def _token(said: Any) -> dict[str, Any] | None:
    if not isinstance(said, dict) or (token := _bare(said)) is None:
        return None
    top = said.get("top_logprobs")
    others = [_bare(other) for other in top if isinstance(other, dict)] if isinstance(top, list) else []
    return {**token, "top_logprobs": [other for other in others if other is not None]}


def _bare(said: dict[str, Any]) -> dict[str, Any] | None:
    token, value, raw = said.get("token"), said.get("logprob"), said.get("bytes")
    if not isinstance(token, str) or not isinstance(value, int | float):
        return None
    return {
        "token": token,
        "logprob": value,
        "bytes": raw if isinstance(raw, list) else list(token.encode("utf-8", "replace")),
    }


def text_of(content: Any) -> Any:
    """Content as one text: some backends send it in parts."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "".join(part for part in parts if isinstance(part, str))


def tidy(delta: Delta) -> bool:
    """Removes what says nothing and gives reasoning its one name; whether any content is left."""
    if delta.reasoning is not UNSET:
        delta.reasoning_content = delta.reasoning_content or delta.reasoning
        delta.reasoning = UNSET
    if not delta.content:
        delta.content = UNSET
    if not delta.reasoning_content:
        delta.reasoning_content = UNSET
    if not delta.refusal:
        delta.refusal = UNSET
    if not delta.tool_calls:
        delta.tool_calls = UNSET
    if not delta.function_call:
        delta.function_call = UNSET
    if not delta.audio:
        delta.audio = UNSET
    if not delta.annotations:
        delta.annotations = UNSET
    return (
        delta.content is not UNSET
        or delta.reasoning_content is not UNSET
        or delta.tool_calls is not UNSET
        or delta.refusal is not UNSET
        or delta.function_call is not UNSET
        or delta.audio is not UNSET
        or delta.annotations is not UNSET
    )


def count_of(said: Any) -> int | None:
    """A number of tokens; None for anything that is none."""
    if isinstance(said, str):
        said = int(said) if said.isascii() and said.isdigit() and len(said) <= 15 else None
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    return said if type(said) is int and 0 <= said <= MOST_TOKENS else None


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


def _detail(said: dict[str, Any], group: str, name: str) -> int | None:
    details = said.get(group)
    return count_of(details.get(name)) if isinstance(details, dict) else None
