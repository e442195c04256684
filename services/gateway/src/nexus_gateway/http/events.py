"""A stream of the mesh as OpenAI server-sent events: whole events, built from our own objects, nothing passed on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_gateway.http.errors import EdgeError, error_object

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
RESUMED = b": resumed on another backend of the same model\n\n"

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
_ROLE = Raw(b'"assistant"')


class ChatChoice(Struct):
    """One choice of a chat chunk; values of the delta stay as the backend wrote them."""

    index: int
    delta: dict[str, Raw]
    finish_reason: FinishReason | None = None
    logprobs: Raw | UnsetType = UNSET


class TextChoice(Struct):
    """One choice of a legacy completion chunk."""

    index: int
    text: str
    logprobs: Raw = Raw(b"null")
    finish_reason: FinishReason | None = None


class _ChatChunk(Struct):
    choices: list[ChatChoice]


class _TextChunk(Struct):
    choices: list[TextChoice]


_encoder = msgspec.json.Encoder()
_decoders: dict[Form, msgspec.json.Decoder[_ChatChunk] | msgspec.json.Decoder[_TextChunk]] = {
    Form.MESSAGE: msgspec.json.Decoder(_ChatChunk),
    Form.TEXT: msgspec.json.Decoder(_TextChunk),
}
"""Of what comes in pieces."""


class EventWriter:
    """Writes one stream. `choices` is how many the client asked for; each must finish exactly once."""

    def __init__(
        self, operation: int, request_id: str, model: str, *, choices: int = 1, usage: bool = False
    ) -> None:
        spec = spec_of(operation)
        identity = {
            "id": spec.id_prefix + request_id.removeprefix("req_"),
            "object": spec.chunk_object,
            "created": int(time.time()),
            "model": model,
        }
        self._head = b"data: " + _encoder.encode(identity)[:-1] + b',"choices":'
        self._foot = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._usage = usage
        self._decoder = _decoders[spec.form]
        self._choices = choices
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def chunks(self, texts: Iterable[str]) -> bytes:
        """The events of content that arrived together. MeshError UPSTREAM_MALFORMED when a chunk breaks the rules."""
        events: list[bytes] = []
        for text in texts:
            choices = [choice for choice in self._decode(text) if self._admit(choice)]
            if choices:
                # A line break can only stand between JSON tokens here, but it would end the event's line.
                data = _encoder.encode(choices).replace(b"\n", b" ").replace(b"\r", b" ")
                events += (self._head, data, self._foot)
        return b"".join(events)

    def finish(self, usage: inference_pb2.Usage | None) -> bytes:
        """The last events of a good stream. MeshError UPSTREAM_MALFORMED when a choice has not finished."""
        if len(self._finished) != self._choices:
            raise _malformed("The backend ended its answer without saying why it stopped.")
        if not self._usage or usage is None:
            return DONE
        return b"".join((self._head, b'[],"usage":', _encoder.encode(usage_object(usage)), b"}\n\n", DONE))

    def error(self, error: MeshError | EdgeError) -> bytes:
        """The one event a broken stream ends with: no finish_reason, and no [DONE] after it."""
        usage = b',"usage":null' if self._usage else b""
        told = _encoder.encode(error_object(error, mid_stream=True))
        return b"".join((self._head, b"[]", usage, b',"error":', told, b"}\n\n"))

    def _decode(self, text: str) -> list[ChatChoice] | list[TextChoice]:
        try:
            return self._decoder.decode(text).choices
        except (ValueError, RecursionError):
            raise _malformed("The backend sent a chunk that breaks the OpenAI format.") from None

    def _admit(self, choice: ChatChoice | TextChoice) -> bool:
        """Whether the choice has anything to say; completes what the format wants of it."""
        index = choice.index
        if index in self._finished or not 0 <= index < self._choices:
            raise _malformed("The backend sent a choice that was not asked for, or had ended.")
        first = index not in self._begun
        if first:
            self._begun.add(index)
        if choice.finish_reason is not None:
            self._finished.add(index)
        if isinstance(choice, TextChoice):
            return bool(choice.text) or choice.finish_reason is not None
        _complete_delta(choice, first)
        return bool(choice.delta) or choice.finish_reason is not None or choice.logprobs is not UNSET


def _complete_delta(choice: ChatChoice, first: bool) -> None:
    delta = choice.delta
    if first:
        choice.delta = delta = {**delta, "role": _ROLE} if "role" in delta else {"role": _ROLE, **delta}
    elif "role" in delta:
        del delta["role"]
    # Clients read reasoning under either name; the wire has no official one.
    if "reasoning_content" in delta:
        delta["reasoning"] = delta["reasoning_content"]


def usage_object(usage: inference_pb2.Usage) -> dict[str, object]:
    """OpenAI's `usage`."""
    counted: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.HasField("cached_tokens"):
        counted["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.HasField("reasoning_tokens"):
        counted["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counted


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
