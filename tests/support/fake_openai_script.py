"""The script of a fake's answer: steps on the connection, and the events of a correct stream."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from support.openai_wire import DONE, Call, Json, Reply, embeddings_body, logprobs, sse, usage

EVENT_STREAM = "text/event-stream"
JSON_TYPE = "application/json"
PNG_BASE64 = "iVBORw0KGgo="


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
    """A response. The head goes out with the first `Head` or `Send`: without either there is no answer."""

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
        words = [call.token(i) for i in range(count)] if text is None else split_words(text)
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
            likely = logprobs([token]) if call.wants_logprobs else None
            yield Send(sse(reply.delta({"content": token}, index, logprobs=likely)), tokens=1)
    for index in indexes:
        yield Send(sse(reply.delta({}, index, text.finish_reason)))
    if call.include_usage:
        yield Send(sse(reply.chunk([], usage=counts(call, text))))
    yield Send(DONE)


def counts(call: Call, text: Text) -> Json:
    return usage(call.prompt_tokens, len(text.tokens) * call.choices)


def whole_body(call: Call, text: Text) -> Json:
    """The whole answer's JSON, in the shape of the call's operation."""
    match call.kind:
        case "chat" | "text":
            message = {"role": "assistant", "content": "".join(text.tokens), "refusal": None}
            body = Reply(call).whole([message] * call.choices, text.finish_reason, counts(call, text))
            if call.wants_logprobs:
                body["choices"] = [{**c, "logprobs": logprobs(text.tokens)} for c in body["choices"]]
            return body
        case "embedding":
            return embeddings_body(call.body)
        case "image":
            return {"created": 1, "data": [{"b64_json": PNG_BASE64}] * call.choices}
        case _:
            return {"text": "".join(text.tokens)}


def whole_answer(call: Call, text: Text, pause: float = 0.0) -> Answer:
    """The whole answer after `pause` seconds: JSON, or 24 kHz silence (s16le, 0.1 s a token) for speech."""
    tokens = len(text.tokens) * call.choices
    before: list[Step] = [Wait(pause)] if pause else []
    if call.kind != "speech":
        return json_answer(whole_body(call, text), 200, tokens, before)
    sound = bytes(4800 * tokens)
    return Answer([*before, Send(sound, tokens)], content_type="audio/pcm", content_length=len(sound))


def json_answer(body: Any, status: int = 200, tokens: int = 0, before: Sequence[Step] = ()) -> Answer:
    data = json.dumps(body).encode()
    return Answer([*before, Send(data, tokens)], status, JSON_TYPE, content_length=len(data))


def cut_stream(call: Call, tokens: int) -> list[Step]:
    """The role events and the first `tokens` tokens of a stream, with nothing after."""
    steps = stream_steps(call, Text([call.token(i) for i in range(tokens)], "stop"))
    return list(itertools.islice(steps, 1 + call.choices * (1 + tokens)))


def stream_events(call: Call, tokens: int, skip: int) -> Iterator[bytes]:
    """The bytes of the token events from number `skip` on."""
    events = [step.data for step in cut_stream(call, tokens) if isinstance(step, Send)]
    return iter(events[call.choices * (1 + skip) :])


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
    steps = [*(Send(sse(reply.delta(delta)), tokens=1) for delta in deltas)]
    steps.append(Send(sse(reply.delta({}, finish_reason=finish_reason))))
    if call.include_usage:
        steps.append(Send(sse(reply.chunk([], usage=counts(call, made)))))
    return Answer([*steps, Send(DONE)])
