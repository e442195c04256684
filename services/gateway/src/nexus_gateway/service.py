"""The inference service for internal callers: the same pipeline as HTTP, the caller known by its certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus_mesh.core import JsonObject, MeshError, Reason, telemetry
from nexus_mesh.identity import Caller, caller
from nexus_mesh.rpc import accounted

from nexus_gateway.access import Members, Principal
from nexus_gateway.core import InferenceRequest, Priority
from nexus_gateway.intake import Hold, Intake
from nexus_gateway.pipeline import Pipeline
from nexus_gateway.validation import CHECKS, check_request, check_zone

__all__ = ["InferenceServicer"]

BESIDE = tuple(name for name in inference_pb2.Envelope.DESCRIPTOR.fields_by_name if name != "body")
Asked = inference_pb2.CompleteRequest | inference_pb2.StreamRequest | inference_pb2.CountTokensRequest


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """nexus.inference.v1.InferenceService at a gateway."""

    def __init__(self, pipeline: Pipeline, intake: Intake, members: Members) -> None:
        self._pipeline = pipeline
        self._intake = intake
        self._members = members

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


def _taken(request: Asked) -> tuple[inference_pb2.Envelope, bytes]:
    """The envelope without its body, and that."""
    envelope = request.envelope
    if envelope.operation not in CHECKS:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "envelope.operation must name a kind of work.",
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
