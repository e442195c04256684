"""The parts of OpenAI's answers that may travel on. Decoding drops everything else.

Content is checked by its type. Bookkeeping (indexes, ids, counts, reasons) is taken as it comes and put right by those
who use it: for an oddity there no answer is thrown away.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

__all__ = [
    "Choice",
    "Chunk",
    "ChunkChoice",
    "Delta",
    "Embeddings",
    "Function",
    "Message",
    "ToolCall",
    "Whole",
]

Maybe = str | None | UnsetType
Text = str | list[Any] | None | UnsetType
"""Content: some send a list of parts."""


class Function(Struct):
    name: Maybe = UNSET
    arguments: str | dict[str, Any] | UnsetType | None = UNSET


class ToolCall(Struct):
    """A whole call, or a piece of one in a stream."""

    index: Any = UNSET
    id: Any = UNSET
    type: Any = UNSET
    function: Function | UnsetType | None = UNSET
    custom: dict[str, Any] | UnsetType | None = UNSET


class Delta(Struct):
    """What a chunk adds to a message."""

    role: Any = UNSET
    content: Text = UNSET
    reasoning_content: Maybe = UNSET
    reasoning: Maybe = UNSET
    refusal: Maybe = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    function_call: Function | UnsetType | None = UNSET
    audio: Any = UNSET
    annotations: Any = UNSET


class ChunkChoice(Struct):
    index: Any = 0
    delta: Delta | UnsetType | None = UNSET
    text: Maybe = UNSET
    finish_reason: Any = None
    logprobs: Any = UNSET


class Chunk(Struct):
    """One event of a stream. `choices` null means none."""

    choices: list[ChunkChoice] | UnsetType | None = UNSET
    usage: Any = None
    error: Any = None


class Message(Struct):
    content: Text = None
    refusal: str | None = None
    reasoning_content: Maybe = UNSET
    reasoning: Maybe = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    function_call: Function | UnsetType | None = UNSET
    audio: Any = UNSET
    annotations: Any = UNSET
    role: Any = "assistant"


class Choice(Struct):
    """A choice of a whole answer: `message` for chat, `text` for completions."""

    index: Any = 0
    message: Message | UnsetType | None = UNSET
    text: Maybe = UNSET
    logprobs: Any = None
    finish_reason: Any = None


class Whole(Struct):
    """A whole chat or text completion."""

    choices: list[Choice] | UnsetType | None = UNSET
    usage: Any = None
    system_fingerprint: Any = UNSET
    error: Any = None


class EmbeddingRow(Struct):
    embedding: list[float] | str
    index: Any = None


class Embeddings(Struct):
    data: list[EmbeddingRow] | UnsetType | None = UNSET
    usage: Any = None
    error: Any = None
