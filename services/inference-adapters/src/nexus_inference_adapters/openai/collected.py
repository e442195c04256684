"""A stream as a whole answer, and a whole answer as a stream: neither is always what an engine does best.

Of a stream silence shows, and some engines notice a leaving client only so; others stream nothing, whatever is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import (
    MAX_ANSWER_BYTES,
    Completed,
    Event,
    Finish,
    Patience,
    Work,
    too_large,
)
from nexus_inference_adapters.openai.normalise import from_whole, usage_fields
from nexus_inference_adapters.openai.types import (
    Choice,
    Chunk,
    ChunkChoice,
    Delta,
    Function,
    Message,
    ToolCall,
    Whole,
)

__all__ = ["Collected", "at_once", "collect"]

MAX_CHUNKS_SIZE = 64 * 1024 * 1024
"""Of all chunks together: an answer of many tokens is mostly what surrounds them."""
DECODER = msgspec.json.Decoder(Chunk)


class _Growing:
    """One choice: pieces of text by field, tool calls by index, lists of log probabilities by key."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._texts: dict[str, list[str]] = {}
        self._calls: list[ToolCall] = []
        self._arguments: list[list[str]] = []
        self._logprobs: dict[str, Any] = {}
        self._annotations: list[Any] = []

    def add(self, said: ChunkChoice) -> None:
        self.finish_reason = said.finish_reason or self.finish_reason
        self._text("text", said.text)
        for key, value in (said.logprobs or {}).items():
            kept = self._logprobs.setdefault(key, value)
            if kept is not value and isinstance(kept, list) and isinstance(value, list):
                kept.extend(value)
        if said.delta:
            self._delta(said.delta)

    def choice(self, index: int) -> Choice:
        whole = Choice(index, logprobs=self._logprobs or None, finish_reason=self.finish_reason)
        whole.text = self._joined("text") or ""
        whole.message = Message(
            content=self._joined("content"),
            refusal=self._joined("refusal"),
            reasoning_content=self._joined("reasoning_content"),
            tool_calls=self._whole_calls() or UNSET,
            function_call=self._function_call(),
            annotations=self._annotations or UNSET,
        )
        return whole

    def _delta(self, delta: Delta) -> None:
        for field in ("content", "refusal", "reasoning_content"):
            self._text(field, getattr(delta, field))
        if isinstance(delta.annotations, list):
            self._annotations += delta.annotations
        if delta.function_call:
            self._text("function name", delta.function_call.name)
            self._text("function arguments", delta.function_call.arguments)
        for piece in delta.tool_calls or ():
            assert isinstance(piece.index, int)  # noqa: S101 - normal pieces have one
            if piece.index == len(self._calls):
                self._calls.append(piece)
                self._arguments.append([])
            if piece.function and isinstance(piece.function.arguments, str):
                self._arguments[piece.index].append(piece.function.arguments)
            if piece.function and piece.function.name:
                self._name(piece.index, piece.function.name)

    def _name(self, index: int, name: str) -> None:
        call = self._calls[index]
        call.function = call.function or Function()
        call.function.name = name

    def _text(self, field: str, text: Any) -> None:
        if text:
            self._texts.setdefault(field, []).append(text)

    def _function_call(self) -> Function | UnsetType:
        name = self._joined("function name")
        return UNSET if name is None else Function(name, self._joined("function arguments") or "")

    def _joined(self, field: str) -> str | None:
        return "".join(self._texts[field]) if field in self._texts else None

    def _whole_calls(self) -> list[ToolCall]:
        for call, arguments in zip(self._calls, self._arguments, strict=True):
            if call.function:
                call.function.arguments = "".join(arguments)
        return self._calls


class Collected:
    """Takes normal chunks, gives the whole answer."""

    def __init__(self) -> None:
        self._choices: dict[int, _Growing] = {}
        self._size = 0

    def add(self, chunks: list[str]) -> None:
        """Raises RESPONSE_TOO_LARGE."""
        for text in chunks:
            self._size += len(text)
            if self._size > MAX_CHUNKS_SIZE:
                raise too_large(MAX_ANSWER_BYTES)
            for said in DECODER.decode(text).choices or ():
                self._choices.setdefault(said.index, _Growing()).add(said)

    def whole(self, usage: inference_pb2.Usage | None) -> Whole:
        choices = [growing.choice(index) for index, growing in self._choices.items()]
        return Whole(choices=choices, usage=None if usage is None else usage_fields(usage))


async def collect(work: Work, events: AsyncGenerator[Event, None], patience: Patience) -> Completed:
    """The whole answer of a stream, under a stream's limits on silence."""
    patience.streams()
    collected, usage = Collected(), None
    async with aclosing(events):
        async for event in events:
            if type(event) is list:
                collected.add(event)
            elif type(event) is Finish:
                usage = event.usage
    completed = from_whole(work, collected.whole(usage))
    if len(completed.body) > MAX_ANSWER_BYTES:
        raise too_large(MAX_ANSWER_BYTES)
    return completed


def at_once(completed: Completed, operation: int) -> Iterator[Event]:
    """The events of a stream that says the answer."""
    answer = msgspec.json.decode(completed.body)
    choices = [
        _said(choice) if spec_of(operation).form is Form.MESSAGE else choice for choice in answer["choices"]
    ]
    yield [msgspec.json.encode({"choices": choices}).decode()]
    yield Finish(completed.usage)


def _said(choice: dict[str, Any]) -> dict[str, Any]:
    delta = {key: value for key, value in choice.pop("message").items() if value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return {key: value for key, value in choice.items() if value is not None} | {"delta": delta}
