"""How a fake backend may answer: each function here makes a mode, which maps one call to an `Answer`."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Mapping
from typing import Any

from support.fake_openai_script import (
    DEATHS,
    JSON_TYPE,
    Answer,
    Close,
    Death,
    Hang,
    Head,
    Mode,
    Reset,
    Send,
    Step,
    Text,
    Wait,
    cut_stream,
    json_answer,
    scripted,
    split_words,
    stream_events,
    stream_steps,
    tool_deltas,
    whole_answer,
    whole_body,
)
from support.openai_wire import DONE, Call, error_body, sse


def ok(tokens: int = 5, interval: float = 0.0, text: str | None = None, finish_reason: str = "stop") -> Mode:
    """A correct answer of `tokens` tokens (or `text`), `interval` seconds apart, streamed if asked."""

    def mode(call: Call) -> Answer:
        made = Text.of(call, tokens, text, finish_reason)
        if call.stream:
            return Answer(stream_steps(call, made, interval))
        return whole_answer(call, made, interval * len(made.tokens))

    return mode


def echo() -> Mode:
    """Answers with the last message's own text, word by word."""
    return lambda call: ok(text=call.last_text)(call)


def slow_first_token(seconds: float, tokens: int = 5, head_first: bool = True) -> Mode:
    """Waits before the first token, with the 200 already sent (as vLLM) or not (as llama.cpp)."""

    def mode(call: Call) -> Answer:
        answer = ok(tokens)(call)
        early: list[Step] = [Head()] if head_first and call.stream else []
        steps = itertools.chain(early, [Wait(seconds)], answer.steps)
        return Answer(steps, answer.status, answer.content_type, content_length=answer.content_length)

    return mode


def stall_after(tokens: int) -> Mode:
    """Streams `tokens` tokens, then falls silent with the connection open; whole answers never come."""

    def mode(call: Call) -> Answer:
        return Answer([*cut_stream(call, tokens), Hang()]) if call.stream else Answer([Hang()])

    return mode


def die_after(tokens: int, how: Death = "reset", at_byte: int = 0, pause: float = 0.0) -> Mode:
    """Streams `tokens` tokens and the first `at_byte` bytes of the next event, then dies, `pause` seconds later.

    A whole answer is cut in the middle of its JSON (before its head when `tokens` is 0). Without a pause a reset may
    overtake what was sent before it.
    """
    wait: list[Step] = [Wait(pause)] if pause else []

    def mode(call: Call) -> Answer:
        if call.stream:
            following = next(stream_events(call, tokens + 1, tokens))
            half: list[Step] = [Send(following[:at_byte])] if at_byte else []
            return Answer([*cut_stream(call, tokens), *half, *wait, *DEATHS[how]])
        body = json.dumps(whole_body(call, Text.of(call, tokens, None, "stop"))).encode()
        part: list[Step] = [Send(body[: len(body) // 2])] if tokens else []
        return Answer([*part, *wait, *DEATHS[how]], content_type=JSON_TYPE)

    return mode


def drop(reset: bool = False) -> Mode:
    """Ends the connection without any answer."""
    return lambda _: Answer([Reset() if reset else Close()])


def hang_accept() -> Mode:
    """Takes the request and never answers."""
    return lambda _: Answer([Hang()])


def error(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Mode:
    """An error answer; `body` is JSON (default: an OpenAI envelope), or bytes sent as they are."""
    if body is None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = error_body(f"the fake was told to answer {status}", kind)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: Answer([Send(data)], status, JSON_TYPE, headers or {}, len(data))


def rate_limited(retry_after: str = "1") -> Mode:
    body = error_body("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded")
    return error(429, body, {"Retry-After": retry_after})


def stream_error(body: Any, after: int = 2, done: bool = False, pause: float = 0.0) -> Mode:
    """`data: <body>` in a stream after `after` tokens and a pause, with or without a [DONE] behind it."""
    wait: list[Step] = [Wait(pause)] if pause else []
    tail = [*wait, Send(sse(body)), *([Send(DONE)] if done else [])]
    return lambda call: Answer([*cut_stream(call, after), *tail])


def reasoning(thought: str, text: str, key: str = "reasoning_content") -> Mode:
    """Reasoning under `key`, then content."""

    def mode(call: Call) -> Answer:
        message = {"role": "assistant", "content": text, key: thought}
        deltas = [{"role": "assistant"}, *({key: word} for word in split_words(thought))]
        return scripted(call, [*deltas, *({"content": word} for word in split_words(text))], message, "stop")

    return mode


def tool_calls(*calls: tuple[str, str], pieces: int = 2) -> Mode:
    """Calls of (function name, arguments as JSON text), each one's arguments in `pieces` deltas."""

    def mode(call: Call) -> Answer:
        whole = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for i, (name, arguments) in enumerate(calls)
        ]
        deltas = [{"role": "assistant", "content": None}]
        for index, item in enumerate(whole):
            deltas.extend(tool_deltas(index, item, pieces))
        return scripted(
            call, deltas, {"role": "assistant", "content": None, "tool_calls": whole}, "tool_calls"
        )

    return mode


def gzip_body(tokens: int = 5) -> Mode:
    """A correct whole answer, gzip-encoded whether or not the client asked for it."""

    def mode(call: Call) -> Answer:
        return gzipped(json.dumps(whole_body(call, Text.of(call, tokens, None, "stop"))).encode())

    return mode


def gzip_bomb(size: int = 64 * 1024 * 1024) -> Mode:
    """Some three hundred kilobytes that unpack to `size` bytes."""
    return lambda _: gzipped(bytes(size))


def gzipped(data: bytes) -> Answer:
    packed = gzip.compress(data, compresslevel=1)
    return Answer([Send(packed)], 200, JSON_TYPE, {"Content-Encoding": "gzip"}, len(packed))


def huge(size: int = 64 * 1024 * 1024) -> Mode:
    """An answer whose content is `size` bytes: one JSON object, or stream events of 64 KiB each."""
    block = "x" * 65536

    def mode(call: Call) -> Answer:
        text = Text([block] * (size // len(block)), "stop")
        return Answer(stream_steps(call, text)) if call.stream else json_answer(whole_body(call, text))

    return mode
