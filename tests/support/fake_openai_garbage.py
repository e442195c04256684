"""Answers no correct backend sends, by name: what `garbage(kind)` puts on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from support.fake_openai_script import (
    Answer,
    Mode,
    Send,
    Step,
    Text,
    cut_stream,
    json_answer,
    whole_body,
)
from support.openai_wire import DONE, Call, Json, Reply, sse, usage

HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"
LONG_LINE_BYTES = 10 * 1024 * 1024

Events = Callable[[Reply], Sequence[bytes]]


def delta(reply: Reply, content: Json, finish_reason: str | None = None) -> bytes:
    return sse(reply.delta(content, finish_reason=finish_reason))


def finish(reply: Reply) -> bytes:
    return delta(reply, {}, "stop")


def tool(reply: Reply, call: Json) -> bytes:
    return delta(reply, {"tool_calls": [{"type": "function", **call}]})


def split_character(reply: Reply, kept: int) -> Sequence[bytes]:
    """An event whose three-byte character is cut after one byte; all but `kept` of the rest is lost."""
    event = json.dumps(reply.delta({"content": "\u20ac"}), ensure_ascii=False).encode()
    at = event.index("\u20ac".encode()) + 1
    return [b"data: " + event[:at], event[at : at + kept] + event[at + 2 :] + b"\n\n"]


def usage_event(reply: Reply, counts: Json) -> bytes:
    return sse(reply.chunk([], usage=counts))


STREAMS: dict[str, Events] = {
    "html": lambda _: [HTML],
    "broken_json": lambda reply: [b'data: {"id": "x", "choices": [{\n\n', finish(reply), DONE],
    "half_event": lambda reply: [delta(reply, {"content": "lost"})[:40]],
    "split_utf8": lambda reply: [*split_character(reply, 2), finish(reply), DONE],
    "invalid_utf8": lambda reply: [*split_character(reply, 0), finish(reply), DONE],
    "no_blank_line": lambda reply: [finish(reply).rstrip(b"\n")],
    "long_line": lambda reply: [delta(reply, {"content": "x" * LONG_LINE_BYTES}), finish(reply), DONE],
    "endless_line": lambda _: [b"data: ", *[b"x" * 65536] * (LONG_LINE_BYTES // 65536)],
    "no_finish_reason": lambda _: [DONE],
    "no_done": lambda reply: [finish(reply)],
    "two_finish_reasons": lambda reply: [finish(reply), delta(reply, {}, "length"), DONE],
    "content_after_finish": lambda reply: [finish(reply), delta(reply, {"content": "late"}), DONE],
    "events_after_done": lambda reply: [finish(reply), DONE, delta(reply, {"content": "late"})],
    "unknown_finish_reason": lambda reply: [delta(reply, {}, "abort"), DONE],
    "negative_usage": lambda reply: [finish(reply), usage_event(reply, usage(-3, -7)), DONE],
    "wrong_usage": lambda reply: [finish(reply), usage_event(reply, usage(1, 10**9)), DONE],
    "text_usage": lambda reply: [finish(reply), usage_event(reply, {"prompt_tokens": "many"}), DONE],
    "nan_logprob": lambda reply: [
        sse(reply.delta({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": float("nan")}]})),
        finish(reply),
        DONE,
    ],
    "tool_call_without_index": lambda reply: [
        tool(reply, {"id": "call_0", "function": {"name": "f", "arguments": "{}"}}),
        delta(reply, {}, "tool_calls"),
        DONE,
    ],
    "tool_call_index_gaps": lambda reply: [
        tool(reply, {"index": 0, "id": "call_0", "function": {"name": "f", "arguments": "{}"}}),
        tool(reply, {"index": 7, "id": "call_7", "function": {"name": "g", "arguments": "{}"}}),
        delta(reply, {}, "tool_calls"),
        DONE,
    ],
    "tool_call_object_arguments": lambda reply: [
        tool(reply, {"index": 0, "id": "call_0", "function": {"name": "f", "arguments": {"a": 1}}}),
        delta(reply, {}, "tool_calls"),
        DONE,
    ],
    "array_event": lambda reply: [b"data: [1, 2]\n\n", finish(reply), DONE],
    "scalar_event": lambda reply: [b"data: null\n\n", b"data: 5\n\n", finish(reply), DONE],
    "choices_null": lambda reply: [sse({**reply.chunk([]), "choices": None}), finish(reply), DONE],
    "empty_body": lambda _: [],
    "deep_json": lambda reply: [b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n", finish(reply), DONE],
}
"""What follows the good tokens of a stream. `split_utf8` is legal: it must come out as the euro sign."""

BODIES: dict[str, Callable[[Json], Any]] = {
    "no_finish_reason": lambda body: with_choice(body, finish_reason=None),
    "unknown_finish_reason": lambda body: with_choice(body, finish_reason="abort"),
    "negative_usage": lambda body: {**body, "usage": usage(-3, -7)},
    "wrong_usage": lambda body: {**body, "usage": usage(1, 10**9)},
    "text_usage": lambda body: {**body, "usage": {"prompt_tokens": "many"}},
    "nan_logprob": lambda body: with_choice(
        body, logprobs={"content": [{"token": "a", "logprob": float("nan")}]}
    ),
    "array_event": lambda _: [1, 2],
    "scalar_event": lambda _: None,
    "choices_null": lambda body: {**body, "choices": None},
}
"""The same faults in a whole answer, as JSON."""

RAW_BODIES: dict[str, bytes] = {
    "html": HTML,
    "broken_json": b'{"id": "x", "choices": [{',
    "half_event": b'{"id": "x"',
    "empty_body": b"",
    "invalid_utf8": b'{"id": "\xe2\x82", "choices": []}',
    "long_line": b'{"id": "' + b"x" * LONG_LINE_BYTES + b'"}',
    "deep_json": b"[" * 100_000 + b"]" * 100_000,
}

KINDS = tuple(STREAMS)
WHOLE_KINDS = (*BODIES, *RAW_BODIES)


def with_choice(body: Json, **changes: Any) -> Json:
    return {**body, "choices": [{**choice, **changes} for choice in body.get("choices", [])]}


def garbage(kind: str, after: int = 0) -> Mode:
    """A mode that sends `after` good tokens (role first, if any), then the garbage of that `kind`.

    Streams take any of `KINDS`; a whole answer of a kind that only streams have is cut-off JSON.
    """
    events = STREAMS[kind]

    def mode(call: Call) -> Answer:
        if not call.stream:
            return whole_garbage(call, kind, max(after, 1))
        good: list[Step] = cut_stream(call, after) if after else []
        content_type = "text/html" if kind == "html" and not after else "text/event-stream"
        return Answer([*good, *(Send(data) for data in events(Reply(call)))], content_type=content_type)

    return mode


def whole_garbage(call: Call, kind: str, tokens: int) -> Answer:
    if kind in BODIES:
        text = Text.of(call, tokens, None, "stop")
        return json_answer(BODIES[kind](whole_body(call, text)), tokens=len(text.tokens))
    data = RAW_BODIES.get(kind, RAW_BODIES["broken_json"])
    content_type = "text/html" if kind == "html" else "application/json"
    return Answer([Send(data)], content_type=content_type, content_length=len(data))
