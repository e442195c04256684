"""The table of operations. To add one: its number in inference's types, and its spec here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from nexus.types.v1 import model_pb2  # pyright: ignore[reportMissingTypeStubs] - generated, with stubs beside it

from nexus_operations.prompts import (
    begins_chat,
    begins_with,
    choices_of,
    limit_of,
    nothing_made,
    prompts_in,
    read_chat,
    read_texts,
    says_delta,
    says_text,
    whole_is_content,
)
from nexus_operations.spec import Form, Shape, Spec, Unit, complete

__all__ = ["SPECS", "Operation", "spec_of"]


class Operation(IntEnum):
    """The numbers of nexus.types.v1.Operation by names that type checkers know."""

    CHAT = model_pb2.OPERATION_CHAT
    COMPLETION = model_pb2.OPERATION_COMPLETION
    EMBEDDING = model_pb2.OPERATION_EMBEDDING


TOKENS = frozenset({Unit.PROMPT_TOKENS, Unit.COMPLETION_TOKENS})
TEXT_MAX_TOKENS = 16
"""What OpenAI makes of a text completion without max_tokens."""

CHAT = Spec(
    number=Operation.CHAT,
    name="chat",
    title="a chat completion",
    path="/chat/completions",
    shape=Shape.CHUNKS,
    form=Form.MESSAGE,
    rows="choices",
    id_prefix="chatcmpl-",
    object="chat.completion",
    chunk_object="chat.completion.chunk",
    content="messages",
    read=read_chat,
    head=begins_chat,
    most=limit_of("max_completion_tokens", "max_tokens", unsaid=None),
    expected=choices_of(),
    has_content=says_delta,
    resumable=True,
    scrubbable=True,
    units=TOKENS,
    example=lambda text: {"messages": [{"role": "user", "content": text}]},
)
COMPLETION = Spec(
    number=Operation.COMPLETION,
    name="completion",
    title="a completion",
    path="/completions",
    shape=Shape.CHUNKS,
    form=Form.TEXT,
    rows="choices",
    id_prefix="cmpl-",
    object="text_completion",
    chunk_object="text_completion",
    content="prompt",
    read=read_texts("prompt", "suffix"),
    head=begins_with("prompt"),
    most=limit_of("max_completion_tokens", "max_tokens", unsaid=TEXT_MAX_TOKENS),
    expected=choices_of("prompt"),
    has_content=says_text,
    resumable=False,
    scrubbable=True,
    units=TOKENS,
    example=lambda text: {"prompt": text},
)
EMBEDDING = Spec(
    number=Operation.EMBEDDING,
    name="embedding",
    title="an embedding",
    path="/embeddings",
    shape=Shape.WHOLE,
    form=Form.VECTOR,
    rows="data",
    id_prefix="",
    object="list",
    chunk_object="",
    content="input",
    read=read_texts("input"),
    head=lambda _: "",
    most=nothing_made,
    expected=lambda body: prompts_in(body.get("input")),
    has_content=whole_is_content,
    resumable=False,
    scrubbable=True,
    units=frozenset({Unit.PROMPT_TOKENS}),
    example=lambda text: {"input": text},
)

SPECS: Mapping[int, Spec] = complete((CHAT, COMPLETION, EMBEDDING), dict(model_pb2.Operation.items()))
"""By number. Whatever has one, but UNSPECIFIED, is here."""


def spec_of(operation: int) -> Spec:
    """Raises LookupError for a number that is none: whoever takes one from outside checks it against SPECS."""
    try:
        return SPECS[operation]
    except KeyError:
        raise LookupError(f"There is no operation {operation}.") from None
