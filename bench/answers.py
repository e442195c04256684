"""The one answer every measured path carries, so that paths differ by nothing but themselves."""

from __future__ import annotations

import json

__all__ = ["CHAT_MODEL", "MARK", "STREAM_MODEL", "canned", "chunk", "closing", "models", "request_body"]

CHAT_MODEL = "bench-chat"
STREAM_MODEL = "bench-stream"
MARK = b"lorem "
"""In every content chunk exactly once, and nowhere else: what clients count, however a path re-serialises JSON."""

PROMPT = "Explain in two sentences why a service mesh wants mutual TLS on every hop."
ANSWER = "Each hop proves who it is, so a stolen address is worth nothing. Nobody on the wire can read or change it."
CREATED = 1_700_000_000
USAGE = {"prompt_tokens": 21, "completion_tokens": 27, "total_tokens": 48}


def request_body(model: str, *, chunks: int | None = None) -> bytes:
    """A chat request; with `chunks` it asks for a stream of that many."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": PROMPT},
        ],
    }
    if chunks is not None:
        body |= {"stream": True, "max_tokens": chunks}
    return json.dumps(body).encode()


def canned(prompt_tokens: int = USAGE["prompt_tokens"]) -> bytes:
    """A whole chat answer."""
    usage = USAGE | {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + USAGE["completion_tokens"],
    }
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json(_head("chat.completion", CHAT_MODEL) | {"choices": [choice], "usage": usage})


def models(*names: str) -> bytes:
    """The answer of /v1/models, by which discovery takes us for vLLM."""
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "vllm"} for name in names]
    return _json({"object": "list", "data": rows})


def chunk() -> bytes:
    """One SSE event with content."""
    return _event([{"index": 0, "delta": {"content": MARK.decode()}, "finish_reason": None}])


def closing() -> bytes:
    """The SSE events that end a stream: finish reason, usage, [DONE]."""
    finish = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return finish + _event([], usage=USAGE) + b"data: [DONE]\n\n"


def _event(choices: list[dict[str, object]], **more: object) -> bytes:
    body = _head("chat.completion.chunk", STREAM_MODEL) | {"choices": choices} | more
    return b"data: " + _json(body) + b"\n\n"


def _head(kind: str, model: str) -> dict[str, object]:
    return {"id": "chatcmpl-bench", "object": kind, "created": CREATED, "model": model}


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
