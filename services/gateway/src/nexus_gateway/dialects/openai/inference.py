"""POST chat/completions, completions, embeddings: parse, ask the pipeline, answer whole or as a stream."""

from __future__ import annotations

import array
import binascii
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec
from msgspec import Raw, Struct
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Form

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.openai.events import send_events
from nexus_gateway.dialects.own_headers import (
    check_own_headers,
    demanded_zone,
    is_strict,
    served_headers,
    wanted_priority,
)
from nexus_gateway.http import Exchange, Handler, check_media_type
from nexus_gateway.intake import Intake
from nexus_gateway.validation import check_request

__all__ = ["Inference", "answer_body", "float32_base64", "inference_handler"]

_LITTLE_ENDIAN = sys.byteorder == "little"


class _Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[Raw]


class _Vector(Struct):
    index: int
    embedding: list[float]
    object: str = "embedding"


class _EncodedVector(Struct):
    object: str
    index: int
    embedding: str


class _Embeddings(Struct):
    data: list[_Vector]
    model: str
    usage: Raw
    object: str = "list"


_object = msgspec.json.Decoder(dict[str, Raw])
_rows = msgspec.json.Decoder(list[Raw])
_completion = msgspec.json.Decoder(_Completion)
_embeddings = msgspec.json.Decoder(_Embeddings)


def answer_body(request: InferenceRequest, body: str) -> bytes:
    """The response body for the client. MeshError UPSTREAM_MALFORMED when it is not what was asked for."""
    try:
        match request.spec.form:
            case Form.VECTOR:
                return _embedding_body(request, body)
            case Form.MESSAGE | Form.TEXT:
                found = len(_completion.decode(body).choices)
            case Form.OBJECT:
                found = len(_rows.decode(_object.decode(body).get(request.spec.rows, b"[]")))
    except (ValueError, OverflowError, RecursionError):
        raise _malformed() from None
    if found != request.answers:
        raise _malformed()
    return _name_reasoning_twice(body) if '"reasoning_content"' in body else body.encode()


def _embedding_body(request: InferenceRequest, body: str) -> bytes:
    answer = _embeddings.decode(body)
    answer.data.sort(key=lambda vector: vector.index)
    if [vector.index for vector in answer.data] != list(range(request.answers)):
        raise _malformed()
    if not request.base64:
        return msgspec.json.encode(answer)
    data = [_EncodedVector(v.object, v.index, float32_base64(v.embedding)) for v in answer.data]
    return msgspec.json.encode({"object": "list", "data": data, "model": answer.model, "usage": answer.usage})


def float32_base64(vector: list[float]) -> str:
    """OpenAI's base64 vector: float32, little-endian."""
    packed = array.array("f", vector)
    if not _LITTLE_ENDIAN:
        packed.byteswap()
    return binascii.b2a_base64(packed, newline=False).decode("ascii")


def _malformed() -> MeshError:
    message = "The backend's answer is incomplete or breaks the OpenAI format."
    return MeshError(Reason.UPSTREAM_MALFORMED, message)


def _name_reasoning_twice(body: str) -> bytes:
    """Clients read reasoning under either name; the wire has no official one."""
    answer: JsonObject = msgspec.json.decode(body)
    for choice in answer["choices"]:
        message = choice.get("message")
        if isinstance(message, dict) and "reasoning_content" in message:
            message["reasoning"] = message["reasoning_content"]
    return msgspec.json.encode(answer)


class Inference(Protocol):
    """The part of the pipeline these routes use."""

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse: ...

    def stream(
        self, request: InferenceRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[inference_pb2.StreamResponse]]: ...

    def refused(self, operation: int, error: MeshError) -> None: ...


def inference_handler(
    pipeline: Inference, operation: int, intake: Intake, keep_alive_seconds: float
) -> Handler:
    """The handler of one operation's route."""

    async def handle(exchange: Exchange) -> None:
        check_media_type(exchange.fields)
        check_own_headers(exchange.fields)

        def check(parsed: JsonObject, size: int) -> InferenceRequest:
            return check_request(
                operation,
                parsed,
                size=size,
                request_id=exchange.request_id,
                principal=exchange.caller,
                strict=is_strict(exchange),
            )

        request = await intake.read(await exchange.body(), check)
        request.zone = demanded_zone(exchange)
        request.priority = wanted_priority(exchange)
        exchange.handed_on = True
        try:
            await answer(exchange, request)
        finally:
            request.let_go()

    async def answer(exchange: Exchange, request: InferenceRequest) -> None:
        if request.stream:
            async with pipeline.stream(request) as messages:
                await send_events(exchange, request, messages, keep_alive_seconds)
            return
        response = await pipeline.complete(request)
        headers = served_headers(response.served)
        await exchange.respond(200, answer_body(request, response.body), headers)

    return handle
