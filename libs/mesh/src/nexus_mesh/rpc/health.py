"""grpc.health.v1 as the library serves it, with the List it leaves out."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2

from nexus_mesh.rpc.channels import Context

__all__ = ["HealthServicer"]


class HealthServicer:
    """Health of the whole server ("") and of each service by its full name."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = ("", *services)
        # The stubs are of an older release, which has no servicer for asyncio, and no List.
        self._library: Any = vars(health)["aio"].HealthServicer()
        self.Check = self._library.Check
        self.Watch = self._library.Watch

    async def serve(self) -> None:
        """Says SERVING for everything."""
        for service in self._services:
            await self._library.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def enter_graceful_shutdown(self) -> None:
        """Says NOT_SERVING for everything from now on."""
        await self._library.enter_graceful_shutdown()

    async def List(self, request: Message, context: Context) -> Message:  # noqa: ARG002, N802 - the contract's signature
        """Every service and its status. The caller must be an operator."""
        answer = vars(health_pb2)["HealthListResponse"]()
        for service in self._services:
            status = await self.Check(health_pb2.HealthCheckRequest(service=service), context)
            answer.statuses[service].CopyFrom(status)
        return answer
