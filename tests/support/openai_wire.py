"""OpenAI reply objects as plain dicts, shared by the fakes that speak that dialect."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.fake_server import count_words

Json = dict[str, Any]
Kind = Literal["chat", "text", "embedding", "speech", "transcription", "image"]

PROMPT_FIELDS: dict[Kind, str] = {
    "chat": "messages",
    "text": "prompt",
    "embedding": "input",
    "speech": "input",
    "transcription": "prompt",
    "image": "prompt",
}
DONE = b"data: [DONE]\n\n"
DEFAULT_DIMENSIONS = 8
_ids = itertools.count(1)


def sse(data: Json) -> bytes:
    """One whole SSE event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def error_body(
    message: str, type_: str = "invalid_request_error", code: Any = None, param: Any = None
) -> Json:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


@dataclass(frozen=True)
class Call:
    """What a request asks for, as far as a fake cares."""

    kind: Kind
    body: Mapping[str, Any]

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def wants_logprobs(self) -> bool:
        return self.kind == "chat" and self.body.get("logprobs") is True

    @property
    def choices(self) -> int:
        return int(self.body.get("n") or 1)

    @property
    def max_tokens(self) -> int | None:
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens")

    @property
    def prompt_tokens(self) -> int:
        return count_words(self.body.get(PROMPT_FIELDS[self.kind]))

    def token(self, position: int) -> str:
        """A fake's word number `position`; it carries the request's `user`, so that nobody gets another's unnoticed."""
        return f"{self.body.get('user') or 'tok'}{position} "

    @property
    def last_text(self) -> str:
        """The last message's text (or the prompt)."""
        if self.kind != "chat":
            return str(self.body.get(PROMPT_FIELDS[self.kind]))
        content = (self.body.get("messages") or [{"content": ""}])[-1].get("content") or ""
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content)


def logprobs(tokens: Sequence[str]) -> Json:
    """The `logprobs` of a chat choice: every token as likely as the next."""
    rows = [{"token": token, "logprob": -0.5, "bytes": list(token.encode())} for token in tokens]
    return {"content": [{**row, "top_logprobs": [row]} for row in rows], "refusal": None}


@dataclass(frozen=True)
class Reply:
    """Builds the chunks, or the whole object, that answer one call; `id` and `created` stay the same."""

    call: Call
    id: str = field(default_factory=lambda: f"chatcmpl-fake-{next(_ids):08d}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, choices: Sequence[Json], **extra: Any) -> Json:
        name = "chat.completion.chunk" if self.call.kind == "chat" else "text_completion"
        return self._envelope(name, choices, extra)

    def delta(self, delta: Json, index: int = 0, finish_reason: str | None = None, **extra: Any) -> Json:
        """A chunk with one choice; for text completions `delta["content"]` becomes `text`."""
        content: Json = {"delta": delta} if self.call.kind == "chat" else {"text": delta.get("content", "")}
        return self.chunk(
            [{"index": index, **content, "logprobs": None, "finish_reason": finish_reason, **extra}]
        )

    def whole(self, messages: Sequence[Json], finish_reason: str | None, counts: Json) -> Json:
        """The non-streaming object; one choice for each of `messages`."""
        chat = self.call.kind == "chat"
        choices = [
            {
                "index": index,
                **({"message": message} if chat else {"text": message.get("content")}),
                "logprobs": None,
                "finish_reason": finish_reason,
            }
            for index, message in enumerate(messages)
        ]
        return self._envelope("chat.completion" if chat else "text_completion", choices, {"usage": counts})

    def _envelope(self, name: str, choices: Sequence[Json], extra: Json) -> Json:
        return {
            "id": self.id,
            "object": name,
            "created": self.created,
            "model": self.call.model,
            "choices": list(choices),
            **extra,
        }


def embedding(text: Any, dimensions: int = DEFAULT_DIMENSIONS) -> list[float]:
    """A vector in [-1, 1] that depends on nothing but `text`."""
    seed = json.dumps(text).encode()
    stream = b"".join(hashlib.sha256(seed + bytes([block])).digest() for block in range(-(-dimensions // 32)))
    return [byte / 127.5 - 1.0 for byte in stream[:dimensions]]


def embeddings_body(body: Mapping[str, Any], dimensions: int = DEFAULT_DIMENSIONS) -> Json:
    """Answers /v1/embeddings for strings and token arrays, as floats or base64 little-endian float32."""
    given = body.get("input")
    is_many = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    inputs = list(given or []) if is_many else [given]
    vectors = [embedding(item, body.get("dimensions") or dimensions) for item in inputs]
    wants_base64 = body.get("encoding_format") == "base64"
    tokens = sum(len(item) if isinstance(item, list) else count_words(item) for item in inputs)
    rows = [
        {"object": "embedding", "index": index, "embedding": pack(vector) if wants_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": body.get("model"), "usage": counts}


def pack(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
