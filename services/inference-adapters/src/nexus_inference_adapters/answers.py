"""Rules that hold for streamed and whole answers alike: finish reasons, log probabilities, counts, decoding."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from nexus_mesh.errors import MeshError, Reason

from nexus_inference_adapters.upstream_errors import from_event, malformed
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION, EMBEDDING

__all__ = ["answer_id", "decoded", "expected_rows", "finish_reason", "logprobs_of", "prompts"]

T = TypeVar("T")

# Engines that cut an answer short say so in many words: to OpenAI's clients all of them are `length`.
FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "function_call",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "repetition": "length",
}
FAILED = frozenset({"abort", "error", "cancelled", "load", "unload"})
PREFIXES: dict[int, str] = {CHAT: "chatcmpl-", COMPLETION: "cmpl-"}


def finish_reason(said: str | None) -> str | None:
    """OpenAI's word for a backend's finish reason; None while there is none.

    A reason of failure raises UPSTREAM_ERROR, an unknown one UPSTREAM_MALFORMED: it can't be told from a failure.
    """
    if not said:
        return None
    known = FINISH_REASONS.get(said)
    if known is None and said in FAILED:
        raise MeshError(Reason.UPSTREAM_ERROR, "The backend stopped before the answer was complete.")
    if known is None:
        raise malformed("The backend ended its answer for a reason that is not known.")
    return known


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decodes and checks types. Raises UPSTREAM_MALFORMED, or what the backend reported in place of an answer."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        raise _reported(raw) or malformed("The backend's answer is not what its API promises.") from None


def _reported(raw: bytes) -> MeshError | None:
    try:
        body = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    return from_event(body) if isinstance(body, dict) and body.get("error") else None


def logprobs_of(operation: int, said: dict[str, Any]) -> dict[str, Any] | None:
    """Log probabilities with every key OpenAI requires; text completions have another form and keep theirs."""
    if operation != CHAT:
        return said
    tokens = said.get("content")
    if not isinstance(tokens, list):
        return None
    return {"content": [_token(token) for token in tokens], "refusal": None}


def _token(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict) or not isinstance(said.get("logprob"), int | float):
        raise malformed("The backend sent a log probability that is no number.")
    top = said.get("top_logprobs") or []
    return {**_bare(said), "top_logprobs": [_bare(other) for other in top if isinstance(other, dict)]}


def _bare(said: dict[str, Any]) -> dict[str, Any]:
    token = said.get("token")
    if not isinstance(token, str):
        raise malformed("The backend sent a log probability without its token.")
    raw = said.get("bytes")
    return {
        "token": token,
        "logprob": said.get("logprob"),
        "bytes": raw if isinstance(raw, list) else list(token.encode()),
    }


def prompts(given: Any) -> int:
    """How many prompts or inputs a request has: a list of token ids is one."""
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return len(given)
    return 1


def expected_rows(operation: int, body: dict[str, Any]) -> int:
    """How many choices or embeddings the answer to a request must have."""
    if operation == EMBEDDING:
        return prompts(body.get("input"))
    n = body.get("n")
    choices = n if isinstance(n, int) and n > 0 else 1
    return choices * prompts(body.get("prompt")) if operation == COMPLETION else choices


def answer_id(operation: int, request_id: str) -> str:
    return PREFIXES[operation] + request_id.removeprefix("req_")
