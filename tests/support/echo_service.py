"""An inference service of few words, to call the mesh's own server and client with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.core.telemetry import current_request_id
from nexus_mesh.identity.tls import Identity
from nexus_mesh.rpc import middleware
from nexus_mesh.rpc.client import Method, Peer
from nexus_mesh.rpc.server import MeshServer, Servicer, start_server
from support.ca import MeshCA

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)


@dataclass(frozen=True, slots=True)
class Way:
    """How calls travel: each in an RPC of its own, or together in a tunnel."""

    complete: Method[inference_pb2.CompleteRequest, inference_pb2.CompleteResponse]
    stream: Method[inference_pb2.StreamRequest, inference_pb2.StreamResponse]


WAYS = {
    "rpc": Way(COMPLETE, STREAM),
    "tunnel": Way(
        Method(SERVICE, "Complete", COMPLETE.request, COMPLETE.response, tunnelled=True),
        Method(SERVICE, "Stream", STREAM.request, STREAM.response, tunnelled=True),
    ),
}


class EchoServicer(inference_pb2_grpc.InferenceServiceServicer):
    """The model names what to do: fail, crash, hang, deadline, id, huge; streams count to the number in the body."""

    def __init__(self) -> None:
        self.hanging = 0
        self.cancelled = 0
        self.yielded = 0
        """Messages of "fast" streams."""

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: object
    ) -> inference_pb2.CompleteResponse:
        match request.envelope.model:
            case "fail":
                raise MeshError(Reason.OVERLOAD, "All places are taken.", metadata={"a": "b"}, retry_after=2)
            case "crash":
                raise ValueError("secret internal detail 123")
            case "hang":
                await self._hang()
            case "deadline":
                return inference_pb2.CompleteResponse(body=str(middleware.remaining()))
            case "huge":
                return inference_pb2.CompleteResponse(body="x" * int(request.envelope.body))
            case "id":
                return inference_pb2.CompleteResponse(body=current_request_id())
        return inference_pb2.CompleteResponse(body=request.envelope.body)

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: object
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        for number in range(int(request.envelope.body)):
            fast = request.envelope.model == "fast"
            self.yielded += fast
            yield inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=[str(number)]))
            await asyncio.sleep(0 if fast else 0.01)
        if request.envelope.model == "hang":
            await self._hang()
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _hang(self) -> None:
        self.hanging += 1
        try:
            await asyncio.sleep(3600)
        finally:
            self.hanging -= 1
            self.cancelled += 1


def complete(model: str = "", body: str = "") -> inference_pb2.CompleteRequest:
    return inference_pb2.CompleteRequest(envelope=inference_pb2.Envelope(model=model, body=body))


def stream(model: str = "", body: str = "3") -> inference_pb2.StreamRequest:
    return inference_pb2.StreamRequest(envelope=inference_pb2.Envelope(model=model, body=body))


@asynccontextmanager
async def echo(
    ca: MeshCA, *, port: int = 0, identity: Identity | None = None
) -> AsyncIterator[tuple[MeshServer, EchoServicer]]:
    """A served echo under an adapter's identity."""
    servicer = EchoServicer()
    added = Servicer(servicer, inference_pb2_grpc.add_InferenceServiceServicer_to_server)
    own = identity or ca.identity("adapter")
    server = await start_server([added], host="127.0.0.1", port=port, identity=own, denied=set())
    try:
        yield server, servicer
    finally:
        await server.drain(settle=0, grace=0)


@asynccontextmanager
async def peer_of(
    ca: MeshCA, server: MeshServer, identity: Identity | None = None, address: str = ""
) -> AsyncIterator[Peer]:
    """A gateway's view of the echo, at another `address` if one is given."""
    peer = Peer(
        address or f"127.0.0.1:{server.port}",
        ca.spiffe("adapter").server_name,
        identity or ca.identity("gateway"),
    )
    try:
        yield peer
    finally:
        await peer.close()
