"""POST chat/completions, completions, embeddings, audio/speech, images/generations: parse, ask the pipeline, answer
whole or as it is made.

The events are whole ones of our own making, with comments while nothing comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Form, Operation, Shape, spec_of
from nexus_routing import Explanation
from prometheus_client import Gauge

from nexus_gateway.access import Principal
from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.openai.answers import answer_body
from nexus_gateway.dialects.openai.picture_links import send_links
from nexus_gateway.dialects.openai.pictures import send_pictures
from nexus_gateway.dialects.openai.speech import send_speech
from nexus_gateway.dialects.own_headers import (
    check_own_headers,
    demanded_zone,
    is_strict,
    served_headers,
    wanted_priority,
)
from nexus_gateway.fetching import Fetching
from nexus_gateway.files import FileStore
from nexus_gateway.http import DONE, Exchange, Failure, Handler, beat, check_media_type
from nexus_gateway.intake import Intake
from nexus_gateway.validation import check_request

if TYPE_CHECKING:
    from nexus_gateway.dialects.openai.by_voice import Wish

__all__ = [
    "Conversing",
    "EventWriter",
    "FinishReason",
    "Inference",
    "inference_handler",
    "send_events",
    "usage_object",
]

Messages = AsyncIterator[inference_pb2.StreamResponse]


class Writer(Protocol):
    """Makes the events of one stream of what a backend sends. Each raises UPSTREAM_MALFORMED for what breaks a rule."""

    def chunks(self, texts: Iterable[str]) -> bytes: ...

    def finish(self, usage: inference_pb2.Usage | None) -> bytes: ...

    def error(self, error: Failure) -> bytes: ...


class Inference(Protocol):
    """The part of the pipeline these routes use."""

    @property
    def files(self) -> FileStore: ...

    @property
    def fetching(self) -> Fetching: ...

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse: ...

    def stream(self, request: InferenceRequest) -> AbstractAsyncContextManager[Messages]: ...

    def refused(self, operation: int, error: MeshError) -> None: ...


class Conversing(Inference, Protocol):
    """The same, and what a chain of models needs to know."""

    def models(self, principal: Principal | None = None) -> Iterable[ModelRow]: ...

    async def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation: ...


def inference_handler(
    pipeline: Conversing, operation: int, intake: Intake, keep_alive_seconds: float
) -> Handler:
    """The handler of one operation's route."""

    async def handle(exchange: Exchange) -> None:
        check_media_type(exchange.fields)
        check_own_headers(exchange.fields)

        wish: Wish | None = None

        def check(parsed: JsonObject, size: int) -> InferenceRequest:
            nonlocal wish
            if operation == Operation.CHAT and ("audio" in parsed or "modalities" in parsed):
                from nexus_gateway.dialects.openai.by_voice import take_wish

                wish = take_wish(parsed)
            return check_request(
                operation,
                parsed,
                size=size,
                request_id=exchange.request_id,
                principal=exchange.caller,
                strict=is_strict(exchange),
                fetches=intake.fetches,
            )

        request = await intake.read(await exchange.body(), check)
        request.zone = demanded_zone(exchange)
        request.priority = wanted_priority(exchange)
        exchange.handed_on = True
        try:
            if wish is not None or HEARS in request.needs:
                await answer_by_voice(exchange, request, wish)
            else:
                await answer(exchange, request)
        finally:
            request.let_go()

    async def answer_by_voice(exchange: Exchange, request: InferenceRequest, wish: Wish | None) -> None:
        from nexus_gateway.dialects.openai.by_voice import Spoken, hear, spoken_body, spoken_messages

        spoken = Spoken(pipeline, exchange, request)
        if HEARS in request.needs:
            request = await hear(spoken, pipeline, request)
        if wish is None:
            await answer(exchange, request)
        elif request.stream:
            async with (
                pipeline.stream(request) as messages,
                aclosing(spoken_messages(spoken, wish, request, messages)) as told,
            ):
                await send_events(exchange, request, told, keep_alive_seconds)
        else:
            response = await pipeline.complete(request)
            body = await spoken_body(spoken, wish, request, answer_body(request, response.body))
            await exchange.respond(200, body, served_headers(response.served))

    async def answer(exchange: Exchange, request: InferenceRequest) -> None:
        if request.spec.shape is Shape.MEDIA:
            async with pipeline.stream(request) as messages:
                if request.keeps:
                    await send_links(exchange, request, messages, pipeline.files)
                    return
                await SENDERS[request.spec.form](exchange, request, messages, keep_alive_seconds)
            return
        if request.stream:
            async with pipeline.stream(request) as messages:
                await send_events(exchange, request, messages, keep_alive_seconds)
            return
        response = await pipeline.complete(request)
        headers = served_headers(response.served)
        await exchange.respond(200, answer_body(request, response.body), headers)

    return handle


HEARS = model_pb2.CAPABILITY_AUDIO
"""A capability that a chat with a recording needs."""


SENDERS = {Form.BYTES: send_speech, Form.FILE: send_pictures}
"""Who writes an answer of bytes."""
STREAMS_ACTIVE = Gauge("nexus_gateway_http_streams_active", "Event streams being sent now.")

RESUMED = b": resumed on another backend of the same model\n\n"


async def send_events(
    exchange: Exchange, request: InferenceRequest, messages: Messages, keep_alive_seconds: float
) -> None:
    """Returns when the stream has ended well. MeshError, whether or not its head has been sent already.

    The first of `messages` says who answers, if that is certain by then; the head waits for it.
    """
    first = await anext(messages, None)
    if first is None:
        raise _unfinished()
    writer = _writer(request, first.served.model or request.model)
    data, ended = _events(writer, first)
    with STREAMS_ACTIVE.track_inprogress():
        await exchange.start_events(served_headers(first.served), writer.error)
        if not ended:
            data = await _pump(exchange, messages, writer, data, keep_alive_seconds)
        await exchange.end(data)


def _writer(request: InferenceRequest, model: str) -> Writer:
    if request.spec.form is Form.OBJECT:
        return TypedWriter()
    return EventWriter(
        request.operation, request.request_id, model, choices=request.answers, usage=request.include_usage
    )


async def _pump(
    exchange: Exchange, messages: Messages, writer: Writer, data: bytes, keep_alive_seconds: float
) -> bytes:
    """One write per message, for a task or timer per chunk would cost more than the chunk. Returns the last events."""
    heart = asyncio.create_task(beat(exchange, keep_alive_seconds), name="sse keep-alive")
    try:
        if data:
            await exchange.write(data)
        async for message in messages:
            data, ended = _events(writer, message)
            if ended:
                return data
            if data:
                await exchange.write(data)
    finally:
        heart.cancel()
    raise _unfinished()


def _events(writer: Writer, message: inference_pb2.StreamResponse) -> tuple[bytes, bool]:
    """What one message is to the client, and whether it is the last."""
    kind = message.WhichOneof("event")
    if kind == "chunks":
        return writer.chunks(message.chunks.json), False
    if kind == "finish":
        return writer.finish(message.finish.usage if message.finish.HasField("usage") else None), True
    return (RESUMED if message.progress.phase == "resumed" else b""), False


def _unfinished() -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, "The backend's stream ended without its end mark.")


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


class _Typed(Struct):
    type: str


_encoder = msgspec.json.Encoder()
_typed = msgspec.json.Decoder(_Typed)
_decoders: dict[Form, msgspec.json.Decoder[_ChatChunk] | msgspec.json.Decoder[_TextChunk]] = {
    Form.MESSAGE: msgspec.json.Decoder(_ChatChunk),
    Form.TEXT: msgspec.json.Decoder(_TextChunk),
}
"""Of what comes in pieces."""


class TypedWriter:
    """Writes a stream of events that say themselves what they are; the last one is of a type that ends in `.done`."""

    def __init__(self) -> None:
        self._last = ""

    def chunks(self, texts: Iterable[str]) -> bytes:
        events: list[bytes] = []
        for text in texts:
            try:
                self._last = _typed.decode(text).type
            except (ValueError, RecursionError):
                raise _malformed("The backend sent an event that breaks the OpenAI format.") from None
            events += (b"data: ", text.encode().replace(b"\n", b" ").replace(b"\r", b" "), b"\n\n")
        return b"".join(events)

    def finish(self, usage: inference_pb2.Usage | None) -> bytes:  # noqa: ARG002 - it stands in the last event
        if not self._last.endswith(".done"):
            raise _malformed("The backend ended its answer without saying that it was whole.")
        return DONE

    def error(self, error: Failure) -> bytes:
        return b'data: {"error":' + _encoder.encode(error_object(error, mid_stream=True)) + b"}\n\n"


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

    def error(self, error: Failure) -> bytes:
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
