"""OpenAI's objects as they stand in JSON, and what they are to callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct
from nexus_mesh.core import MeshError, Reason

from nexus_client.types import (
    Answer,
    Candidate,
    Count,
    Embeddings,
    Event,
    Explanation,
    Finished,
    Model,
    Reasoning,
    Served,
    Text,
    ToolCall,
    Usage,
)

__all__ = ["Failure", "Told", "answer", "as_json", "decoded", "embeddings", "explanation", "models"]

T = TypeVar("T")


class Failure(Struct):
    """OpenAI's error."""

    message: str = ""
    code: str | None = None
    param: str | None = None


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        prompt = self.prompt_tokens_details or _Details()
        completion = self.completion_tokens_details or _Details()
        return Usage(
            self.prompt_tokens, self.completion_tokens, prompt.cached_tokens, completion.reasoning_tokens
        )


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Failure | None = None


class _Message(Struct):
    content: str | None = None


class _WholeChoice(Struct):
    message: _Message | None = None
    text: str | None = None


class _Whole(Struct):
    choices: list[_WholeChoice] = []
    usage: _Usage | None = None


class _Vector(Struct):
    index: int
    embedding: tuple[float, ...]


class _Vectors(Struct):
    data: list[_Vector]
    usage: _Usage | None = None


class _Model(Struct):
    id: str
    created: int = 0
    owned_by: str = ""


class _Models(Struct):
    data: list[_Model]


class _Candidate(Struct):
    rank: int = 0
    model: str | None = None
    backend: str | None = None
    instance: str | None = None
    zone: str | None = None
    stage: str | None = None
    reason: str | None = None


class _Tokens(Struct):
    prompt: int
    estimated: bool
    method: str


class _Explanation(Struct):
    model: str
    resolved_model: str | None
    candidates: list[_Candidate]
    zones: list[str] = []
    tokens: _Tokens | None = None


class Told:
    """What a stream has told so far: pieces go in as JSON, events come out."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self._usage: Usage | None = None
        self.error: Failure | None = None
        """Set when a piece said that the stream failed."""

    def events(self, piece: bytes | str) -> Iterator[Event]:
        """Raises MeshError UPSTREAM_MALFORMED."""
        chunk = decoded(piece, _Chunk)
        self.error = chunk.error
        if chunk.usage is not None:
            self._usage = chunk.usage.usage()
        for choice in chunk.choices:
            yield from _events(choice)
            if choice.finish_reason is not None:
                self._reasons[choice.index] = choice.finish_reason

    def finished(self, usage: Usage | None = None) -> Finished:
        """The last event of a stream that said it has ended."""
        return Finished(dict(self._reasons), usage or self._usage)


def _events(choice: _Choice) -> Iterator[Event]:
    delta = choice.delta or _Delta(content=choice.text)
    if delta.reasoning_content:
        yield Reasoning(delta.reasoning_content, choice.index)
    if delta.content:
        yield Text(delta.content, choice.index)
    for call in delta.tool_calls or ():
        function = call.function or _Function()
        yield ToolCall(function.arguments or "", call.id or "", function.name or "", call.index, choice.index)


def answer(body: bytes | str, served: Served | None, usage: Usage | None = None) -> Answer:
    """`usage` stands above the body's own. Raises MeshError UPSTREAM_MALFORMED."""
    whole = decoded(body, _Whole)
    first = whole.choices[0] if whole.choices else _WholeChoice()
    text = (first.message.content if first.message else first.text) or ""
    told = usage or (whole.usage.usage() if whole.usage else None)
    return Answer(decoded(body, dict[str, object]), text, told, served)


def embeddings(body: bytes | str, served: Served | None, usage: Usage | None = None) -> Embeddings:
    """Like `answer`."""
    whole = decoded(body, _Vectors)
    ordered = sorted(whole.data, key=lambda vector: vector.index)
    told = usage or (whole.usage.usage() if whole.usage else None)
    return Embeddings(tuple(vector.embedding for vector in ordered), told, served)


def models(body: bytes) -> tuple[Model, ...]:
    """Of /v1/models."""
    return tuple(Model(row.id, row.created, row.owned_by) for row in decoded(body, _Models).data)


def explanation(body: bytes) -> Explanation:
    """Of /v1/route/explain."""
    told = decoded(body, _Explanation)
    rows = (
        Candidate(
            row.rank,
            row.model or "",
            row.backend or "",
            row.instance or "",
            row.zone or "",
            row.stage or "",
            row.reason or "",
        )
        for row in told.candidates
    )
    count = told.tokens and Count(told.tokens.prompt, told.tokens.estimated, told.tokens.method)
    return Explanation(told.model, told.resolved_model or "", tuple(told.zones), tuple(rows), count)


def decoded(body: bytes | str, kind: type[T]) -> T:
    """Raises MeshError UPSTREAM_MALFORMED."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED,
            "The gateway's answer is not what its API promises: is there a NEXUS gateway at that address?",
        ) from None


def as_json(body: object) -> bytes:
    """Raises MeshError INVALID_REQUEST for what JSON has no word for."""
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise MeshError(Reason.INVALID_REQUEST, f"The request cannot be written as JSON: {error}.") from None
