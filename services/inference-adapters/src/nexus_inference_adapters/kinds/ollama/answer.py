"""Ollama's answers as the OpenAI types the normalisers take."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct

from nexus_inference_adapters.openai import (
    Chunk,
    ChunkChoice,
    Delta,
    EmbeddingRow,
    Embeddings,
    Function,
    ToolCall,
)
from nexus_inference_adapters.vocabulary import CHAT

__all__ = ["Embedded", "Line", "chunk_of", "embeddings_of"]


class NativeFunction(Struct):
    name: str
    arguments: dict[str, Any] | str | None = None
    index: Any = None


class NativeCall(Struct):
    function: NativeFunction
    id: Any = None


class NativeMessage(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[NativeCall] | None = None


class Line(Struct):
    """One line of a stream, or a whole answer, of /api/chat (message) or /api/generate (response, thinking)."""

    message: NativeMessage | None = None
    response: str | None = None
    thinking: str | None = None
    done: bool = False
    done_reason: Any = None
    prompt_eval_count: Any = 0
    eval_count: Any = 0
    logprobs: Any = None
    error: Any = None


class Embedded(Struct):
    """The answer of /api/embed."""

    embeddings: list[list[float]]
    prompt_eval_count: Any = 0


def chunk_of(line: Line, operation: int, *, saw_tools: bool) -> Chunk:
    """A line as a chunk. The line that says `done` may still hold content."""
    choice = ChunkChoice(finish_reason=_finish_reason(line, saw_tools))
    if isinstance(line.logprobs, list) and line.logprobs:
        choice.logprobs = {"content": line.logprobs} if operation == CHAT else _text_logprobs(line.logprobs)
    if operation == CHAT:
        said = line.message or NativeMessage()
        choice.delta = Delta(
            content=said.content,
            reasoning_content=said.thinking,
            tool_calls=_calls(said) or UNSET,
        )
    else:
        choice.text = line.response
    return Chunk(choices=[choice], usage=_usage(line) if line.done else None)


def embeddings_of(answer: Embedded) -> Embeddings:
    return Embeddings(
        data=[EmbeddingRow(vector) for vector in answer.embeddings],
        usage={"prompt_tokens": answer.prompt_eval_count},
    )


def _finish_reason(line: Line, saw_tools: bool) -> str | None:
    if not line.done:
        return None
    reason = line.done_reason or "stop"
    called = saw_tools or bool(line.message and line.message.tool_calls)
    return "tool_calls" if called and reason == "stop" else reason


def _calls(message: NativeMessage) -> list[ToolCall]:
    """Ollama gives each call whole, and an id only from some models; the normaliser makes the missing ones."""
    return [
        ToolCall(
            index=UNSET if call.function.index is None else call.function.index,
            id=call.id or UNSET,
            function=Function(call.function.name, call.function.arguments or {}),
        )
        for call in message.tool_calls or []
    ]


def _text_logprobs(said: list[Any]) -> dict[str, Any]:
    """Log probabilities in the form that OpenAI's text completions have."""
    tokens = [token for token in said if isinstance(token, dict)]
    return {
        "tokens": [token.get("token") for token in tokens],
        "token_logprobs": [token.get("logprob") for token in tokens],
        "top_logprobs": [
            {each.get("token"): each.get("logprob") for each in token.get("top_logprobs") or ()}
            for token in tokens
        ],
    }


def _usage(line: Line) -> dict[str, Any]:
    return {"prompt_tokens": line.prompt_eval_count, "completion_tokens": line.eval_count}
