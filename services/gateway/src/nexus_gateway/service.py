"""The inference service for internal callers: the same pipeline as HTTP, the caller known by its certificate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import grpc
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus_mesh.core import JsonObject, MeshError, Reason, telemetry
from nexus_mesh.identity import Caller, caller
from nexus_mesh.rpc import accounted, read_out
from nexus_operations import ENOUGH, SPECS, Times, UploadError, UploadOrder, spec_of

from nexus_gateway.access import Members, Principal
from nexus_gateway.core import InferenceRequest, OnTheirWay, Priority, Step
from nexus_gateway.intake import Hold, Intake
from nexus_gateway.pipeline import Pipeline
from nexus_gateway.validation import CHECKS, check_request, check_zone

__all__ = ["InferenceServicer"]

BESIDE = tuple(name for name in inference_pb2.Envelope.DESCRIPTOR.fields_by_name if name != "body")
Asked = (
    inference_pb2.CompleteRequest
    | inference_pb2.StreamRequest
    | inference_pb2.CountTokensRequest
    | inference_pb2.UploadStart
)


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """nexus.inference.v1.InferenceService at a gateway."""

    def __init__(self, pipeline: Pipeline, intake: Intake, members: Members, upload_bytes: int) -> None:
        """`upload_bytes`: of the files of one request, at most."""
        self._pipeline = pipeline
        self._intake = intake
        self._members = members
        self._upload_bytes = upload_bytes

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CompleteResponse:
        async with self._read(_taken(request), stream=False) as asked:
            del request
            return await self._pipeline.complete(asked)

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        async with self._read(_taken(request), stream=True) as asked:
            del request
            async with self._pipeline.stream(asked) as messages:
                async for message in messages:
                    yield message

    async def Upload(
        self, request_iterator: AsyncIterator[inference_pb2.UploadRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.UploadResponse]:
        messages = aiter(request_iterator)
        first = await anext(messages, None)
        if first is None or not first.HasField("start"):
            await read_out(messages)
            raise MeshError(Reason.INVALID_REQUEST, "An upload begins with `start`.")
        order = UploadOrder(_files(first.start.envelope), self._upload_bytes)
        try:
            async with self._read(_taken(first.start, uploads=True), stream=first.start.stream) as asked:
                asked.files = OnTheirWay(_steps(messages, order))
                async with self._pipeline.stream(asked) as answers:
                    async for answer in answers:
                        yield inference_pb2.UploadResponse(event=answer)
        except MeshError:
            if not order.whole:
                enough = inference_pb2.Progress(phase=ENOUGH)
                yield inference_pb2.UploadResponse(event=inference_pb2.StreamResponse(progress=enough))
                await read_out(messages)
            raise

    async def CountTokens(
        self, request: inference_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CountTokensResponse:
        async with self._read(_taken(request), stream=False, counts=False) as asked:
            del request
            return await self._pipeline.count(asked)

    @asynccontextmanager
    async def _read(
        self, taken: tuple[inference_pb2.Envelope, bytes], *, stream: bool, counts: bool = True
    ) -> AsyncIterator[InferenceRequest]:
        """The request, and the room its body takes until it has ended. Raises MeshError.

        `counts`: whether it asks for an answer, so that one that is turned away here is counted like any other.
        """
        envelope, body = taken
        del taken
        hold: Hold | None = None
        try:
            try:
                who = caller()
                principal = self._members.principal(who, envelope.on_behalf_of)
                hold = Hold(self._intake.bodies, principal.tenant)
                await hold.reach(len(body))
                accounted()
                reading = self._intake.read(body, partial(_check, envelope, who, principal, stream=stream))
                del body
                request = await reading
            except MeshError as error:
                if counts:
                    self._pipeline.refused(envelope.operation, error)
                raise
            try:
                yield request
            finally:
                request.let_go()
        finally:
            if hold is not None:
                hold.release()


async def _steps(
    messages: AsyncIterator[inference_pb2.UploadRequest], order: UploadOrder
) -> AsyncGenerator[Step, None]:
    """The files of an upload. Raises INVALID_REQUEST, REQUEST_TOO_LARGE."""
    try:
        async for message in messages:
            order.hear(message)
            match message.WhichOneof("step"):
                case "chunk":
                    yield message.chunk
                case "part":
                    yield message.part
                case _:
                    break
        order.closed()
    except UploadError as error:
        reason = Reason.REQUEST_TOO_LARGE if order.too_large else Reason.INVALID_REQUEST
        raise MeshError(reason, str(error), metadata={"param": "file"}) from None


def _files(envelope: inference_pb2.Envelope) -> Mapping[str, Times]:
    """Those that come with it."""
    return spec_of(envelope.operation).files if envelope.operation in SPECS else {}


def _taken(request: Asked, *, uploads: bool = False) -> tuple[inference_pb2.Envelope, bytes]:
    """The envelope without its body, and that. `uploads`: whether it came with files, as some work must."""
    envelope = request.envelope
    if envelope.operation not in CHECKS:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "envelope.operation must name a kind of work.",
            metadata={"param": "operation"},
        )
    if bool(spec_of(envelope.operation).files) is not uploads:
        way = "does not come with files" if uploads else "comes with files: send it by Upload"
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"{spec_of(envelope.operation).title.capitalize()} {way}.",
            metadata={"param": "operation"},
        )
    beside = inference_pb2.Envelope(**{name: getattr(envelope, name) for name in BESIDE})
    return beside, envelope.body.encode()


def _check(
    envelope: inference_pb2.Envelope,
    who: Caller,
    principal: Principal,
    parsed: JsonObject,
    size: int,
    *,
    stream: bool,
) -> InferenceRequest:
    """The request an HTTP client would have made, but for what the envelope says in its own fields."""
    request = check_request(
        envelope.operation,
        parsed,
        size=size,
        request_id=envelope.request_id or telemetry.current_request_id() or telemetry.new_request_id(),
        principal=principal,
        model=envelope.model,
    )
    request.zone = check_zone(envelope.zone, "zone")
    if envelope.priority:
        request.priority = _priority(envelope.priority)
    request.stream = stream
    if who.spiffe.role == "client":
        _limit_client(who, request)
    return request


def _limit_client(who: Caller, request: InferenceRequest) -> None:
    """Raises CALLER_SCOPE. Who stands in for a model that it may ask is policy's word."""
    if not who.claims.allow_model(request.model):
        raise MeshError(
            Reason.CALLER_SCOPE,
            f"This client may ask {', '.join(who.claims.models)} only: its join token said so.",
            metadata={"param": "model"},
        )
    if request.priority is Priority.HIGH:
        raise MeshError(
            Reason.CALLER_SCOPE,
            "A client may not go before all others: ask with priority normal or low.",
            metadata={"param": "priority"},
        )


def _priority(given: int) -> Priority:
    try:
        return Priority(given)
    except ValueError:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "envelope.priority must be low, normal or high.",
            metadata={"param": "priority"},
        ) from None
