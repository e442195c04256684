"""The inference service for internal callers: the same pipeline as HTTP, the caller known by its certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.identity import caller
from nexus_mesh.spiffe import SpiffeId

from nexus_gateway.accounts import Principal
from nexus_gateway.pipeline import Pipeline
from nexus_gateway.queueing.priority import Priority
from nexus_gateway.request import InferenceRequest
from nexus_gateway.validation.parse import CHECKS, parse_request
from nexus_gateway.validation.zone import check_zone

__all__ = ["InferenceServicer"]


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """nexus.inference.v1.InferenceService at a gateway."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CompleteResponse:
        return await self._pipeline.complete(_parse(request.envelope, stream=False))

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        async with self._pipeline.stream(_parse(request.envelope, stream=True)) as messages:
            async for message in messages:
                yield message

    async def CountTokens(
        self, request: inference_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CountTokensResponse:
        return await self._pipeline.count(_parse(request.envelope, stream=False))


def _parse(envelope: inference_pb2.Envelope, *, stream: bool) -> InferenceRequest:
    """The request an HTTP client would have made, but for what the envelope says in its own fields."""
    if envelope.operation not in CHECKS:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "envelope.operation must name a kind of work.",
            metadata={"param": "operation"},
        )
    request = parse_request(
        envelope.operation,
        envelope.body.encode(),
        request_id=envelope.request_id or telemetry.current_request_id() or telemetry.new_request_id(),
        credential=None,
        model=envelope.model,
    )
    spiffe = caller().spiffe
    request.zone = check_zone(envelope.zone, "zone")
    if envelope.priority:
        request.priority = _priority(envelope.priority)
    request.principal = _principal(spiffe)
    request.stream = stream
    request.pack()
    return request


def _principal(spiffe: SpiffeId) -> Principal:
    """Every member of the mesh is a tenant of its own, by a name no tenant of the vault can have."""
    name = spiffe.instance_id
    return Principal(name, str(spiffe), tenant=name, manage=spiffe.role == "operator")


def _priority(given: int) -> Priority:
    try:
        return Priority(given)
    except ValueError:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "envelope.priority must be low, normal or high.",
            metadata={"param": "priority"},
        ) from None
