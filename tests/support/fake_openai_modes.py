"""How a fake backend may answer: a mode maps one call to an `Answer`, a short script of steps."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.openai_wire import DONE, Call, Json, Reply, error_body, sse, usage

EVENT_STREAM = "text/event-stream"
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Head:
    """Send the status line and headers now, before any body."""


@dataclass(frozen=True)
class Send:
    """Write these bytes as one chunk; `tokens` of them count as generated."""

    data: bytes
    tokens: int = 0


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Hang:
    """Say nothing more until the client leaves or the fake stops."""


@dataclass(frozen=True)
class Reset:
    """Abort the connection with a TCP RST."""


@dataclass(frozen=True)
class Close:
    """Close the connection (FIN) without ending the HTTP body."""


Step = Head | Send | Wait | Hang | Reset | Close


@dataclass(frozen=True)
class Answer:
    """A response. The head goes out with the first `Head` or `Send`; a script without either has no answer."""

    steps: Iterable[Step]
    status: int = 200
    content_type: str = EVENT_STREAM
    headers: Mapping[str, str] = field(default_factory=dict)
    content_length: int | None = None


Mode = Callable[[Call], Answer]
Death = Literal["reset", "close", "end"]

DEATHS: dict[Death, list[Step]] = {"reset": [Reset()], "close": [Close()], "end": []}
"""`end` finishes the HTTP body cleanly, so the stream looks complete."""


@dataclass(frozen=True)
class Text:
    """What the fake generates for a call: its tokens, cut to the call's max_tokens."""

    tokens: Sequence[str]
    finish_reason: str

    @classmethod
    def of(cls, call: Call, count: int, text: str | None, finish_reason: str) -> Text:
        words = [f"tok{i} " for i in range(count)] if text is None else split_words(text)
        if call.max_tokens is not None and call.max_tokens < len(words):
            return cls(words[: call.max_tokens], "length")
        return cls(words, finish_reason)


def split_words(text: str) -> list[str]:
    """Words with the blanks that follow them: joined, they are `text` again."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + [words[-1]]


def stream_steps(call: Call, text: Text, interval: float = 0.0) -> Iterator[Step]:
    """A whole, correct stream: role, tokens, finish, usage when asked for, [DONE]."""
    reply, indexes = Reply(call), range(call.choices)
    yield Head()
    for index in indexes:
        yield Send(sse(reply.delta({"role": "assistant", "content": ""}, index)))
    for position, token in enumerate(text.tokens):
        if interval and position:
            yield Wait(interval)
        for index in indexes:
            yield Send(sse(reply.delta({"content": token}, index)), tokens=1)
    for index in indexes:
        yield Send(sse(reply.delta({}, index, text.finish_reason)))
    if call.include_usage:
        yield Send(sse(reply.chunk([], usage=counts(call, text))))
    yield Send(DONE)


def counts(call: Call, text: Text) -> Json:
    return usage(call.prompt_tokens, len(text.tokens) * call.choices)


def whole_body(call: Call, text: Text) -> Json:
    message = {"role": "assistant", "content": "".join(text.tokens), "refusal": None}
    return Reply(call).whole([message] * call.choices, text.finish_reason, counts(call, text))


def json_answer(body: Any, status: int = 200, tokens: int = 0, before: Sequence[Step] = ()) -> Answer:
    data = json.dumps(body).encode()
    return Answer([*before, Send(data, tokens)], status, JSON_TYPE, content_length=len(data))


def ok(
    tokens: int = 5, interval: float = 0.0, text: str | None = None, finish_reason: str = "stop"
) -> Mode:
    """A correct answer of `tokens` tokens (or `text`), `interval` seconds apart; streamed or whole as asked."""

    def mode(call: Call) -> Answer:
        made = Text.of(call, tokens, text, finish_reason)
        if call.stream:
            return Answer(stream_steps(call, made, interval))
        pause = Wait(interval * len(made.tokens))
        return json_answer(whole_body(call, made), 200, len(made.tokens) * call.choices, [pause])

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


def die_after(tokens: int, how: Death = "reset", at_byte: int = 0) -> Mode:
    """Streams `tokens` tokens and the first `at_byte` bytes of the next event, then dies.

    A whole answer is cut in the middle of its JSON (before its head when `tokens` is 0).
    """

    def mode(call: Call) -> Answer:
        if call.stream:
            following = next(stream_events(call, tokens + 1, tokens))
            half: list[Step] = [Send(following[:at_byte])] if at_byte else []
            return Answer([*cut_stream(call, tokens), *half, *DEATHS[how]])
        body = json.dumps(whole_body(call, Text.of(call, tokens, None, "stop"))).encode()
        part: list[Step] = [Send(body[: len(body) // 2])] if tokens else []
        return Answer([*part, *DEATHS[how]], content_type=JSON_TYPE)

    return mode


def cut_stream(call: Call, tokens: int) -> list[Step]:
    """The role events and the first `tokens` tokens of a stream, with nothing after."""
    steps = stream_steps(call, Text([f"tok{i} " for i in range(tokens)], "stop"))
    return list(itertools.islice(steps, 1 + call.choices * (1 + tokens)))


def stream_events(call: Call, tokens: int, skip: int) -> Iterator[bytes]:
    """The bytes of the token events from number `skip` on."""
    events = [step.data for step in cut_stream(call, tokens) if isinstance(step, Send)]
    return iter(events[call.choices * (1 + skip) :])


def drop() -> Mode:
    """Closes the connection without any answer."""
    return lambda call: Answer([Close()])


def hang_accept() -> Mode:
    """Takes the request and never answers."""
    return lambda call: Answer([Hang()])


def error(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Mode:
    """An error answer; `body` is JSON (default: an OpenAI envelope), or bytes sent as they are."""
    if body is None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = error_body(f"the fake was told to answer {status}", kind)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda call: Answer([Send(data)], status, JSON_TYPE, headers or {}, len(data))


def rate_limited(retry_after: str = "1") -> Mode:
    body = error_body("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded")
    return error(429, body, {"Retry-After": retry_after})


def stream_error(body: Any, after: int = 2, done: bool = False) -> Mode:
    """`data: <body>` in a stream after `after` tokens, with or without a [DONE] behind it."""
    tail = [Send(sse(body)), *([Send(DONE)] if done else [])]
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
        return scripted(call, deltas, {"role": "assistant", "content": None, "tool_calls": whole}, "tool_calls")

    return mode


def tool_deltas(index: int, item: Json, pieces: int) -> Iterator[Json]:
    arguments = item["function"]["arguments"]
    size = -(-len(arguments) // pieces)
    head = {**item, "function": {"name": item["function"]["name"], "arguments": ""}}
    yield {"tool_calls": [{"index": index, **head}]}
    for start in range(0, len(arguments), size or 1):
        yield {"tool_calls": [{"index": index, "function": {"arguments": arguments[start : start + size]}}]}


def scripted(call: Call, deltas: Sequence[Json], message: Json, finish_reason: str) -> Answer:
    """These deltas when streamed, this message when whole."""
    reply, made = Reply(call), Text([""] * len(deltas), finish_reason)
    if not call.stream:
        return json_answer(reply.whole([message], finish_reason, counts(call, made)), tokens=len(deltas))
    events = [*(reply.delta(delta) for delta in deltas), reply.delta({}, finish_reason=finish_reason)]
    if call.include_usage:
        events.append(reply.chunk([], usage=counts(call, made)))
    return Answer([*(Send(sse(event), tokens=1) for event in events), Send(DONE)])


def gzip_body(tokens: int = 5) -> Mode:
    """A correct whole answer, gzip-encoded whether or not the client asked for it."""

    def mode(call: Call) -> Answer:
        return gzipped(json.dumps(whole_body(call, Text.of(call, tokens, None, "stop"))).encode())

    return mode


def gzip_bomb(size: int = 256 * 1024 * 1024) -> Mode:
    """A few hundred kilobytes that unpack to `size` bytes."""
    return lambda call: gzipped(bytes(size))


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
