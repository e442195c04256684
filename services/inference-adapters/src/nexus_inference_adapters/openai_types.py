"""The parts of OpenAI's answers that may travel on. Decoding into these checks types and drops everything else."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from nexus.inference.v1 import inference_pb2

__all__ = [
    "Choice",
    "Chunk",
    "ChunkChoice",
    "CompletionDetails",
    "Delta",
    "Embeddings",
    "Function",
    "Message",
    "PromptDetails",
    "ToolCall",
    "UsageFields",
    "Whole",
]

Count = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, le=100_000)]
Maybe = str | None | UnsetType


class PromptDetails(Struct):
    cached_tokens: Count | None = None


class CompletionDetails(Struct):
    reasoning_tokens: Count | None = None


class UsageFields(Struct):
    """`usage` as backends send it."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def message(self) -> inference_pb2.Usage:
        usage = inference_pb2.Usage(
            prompt_tokens=self.prompt_tokens or 0, completion_tokens=self.completion_tokens or 0
        )
        if self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens is not None:
            usage.cached_tokens = self.prompt_tokens_details.cached_tokens
        if self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens is not None:
            usage.reasoning_tokens = self.completion_tokens_details.reasoning_tokens
        return usage


class Function(Struct):
    name: Maybe = UNSET
    arguments: str | dict[str, Any] | UnsetType | None = UNSET


class ToolCall(Struct):
    """A whole call, or a piece of one in a stream."""

    index: Index | UnsetType | None = UNSET
    id: Maybe = UNSET
    type: Maybe = UNSET
    function: Function | UnsetType | None = UNSET
    custom: dict[str, Any] | UnsetType | None = UNSET


class Delta(Struct):
    """What a chunk adds to a message."""

    role: Maybe = UNSET
    content: Maybe = UNSET
    reasoning_content: Maybe = UNSET
    reasoning: Maybe = UNSET
    refusal: Maybe = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    function_call: Function | UnsetType | None = UNSET
    audio: dict[str, Any] | UnsetType | None = UNSET
    annotations: list[Any] | UnsetType | None = UNSET


class ChunkChoice(Struct):
    index: Index = 0
    delta: Delta | UnsetType | None = UNSET
    text: Maybe = UNSET
    finish_reason: str | None = None
    logprobs: dict[str, Any] | UnsetType | None = UNSET


class Chunk(Struct):
    """One event of a stream. `error`, `message` and `detail` are there to be recognised as failures."""

    choices: list[ChunkChoice] | UnsetType = UNSET
    usage: UsageFields | None = None
    error: Any = None


class Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Maybe = UNSET
    reasoning: Maybe = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    function_call: Function | UnsetType | None = UNSET
    audio: dict[str, Any] | UnsetType | None = UNSET
    annotations: list[Any] | UnsetType | None = UNSET
    role: str = "assistant"


class Choice(Struct):
    """A choice of a whole answer: `message` for chat, `text` for completions."""

    index: Index = 0
    message: Message | UnsetType = UNSET
    text: Maybe = UNSET
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None


class Whole(Struct):
    """A whole chat or text completion."""

    choices: list[Choice] | UnsetType = UNSET
    usage: UsageFields | None = None
    system_fingerprint: Maybe = UNSET
    error: Any = None


class EmbeddingRow(Struct):
    embedding: list[float] | str
    index: Index | None = None


class Embeddings(Struct):
    data: list[EmbeddingRow] | UnsetType = UNSET
    usage: UsageFields | None = None
    error: Any = None
