"""grpc.health.v1 as the library serves it, with the List it leaves out."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health, health_pb2

__all__ = ["HealthServicer"]


class HealthServicer(health.aio.HealthServicer):  # pyright: ignore[reportAttributeAccessIssue] - stub is older
    """Health of the whole server ("") and of each service by its full name."""

    def __init__(self, services: tuple[str, ...]) -> None:
        super().__init__()
        self._services = ("", *services)

    async def serve(self) -> None:
        """Says SERVING for everything."""
        for service in self._services:
            await self.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the contract's signature
        """Every service and its status. The caller must be an operator."""
        answer = health_pb2.HealthListResponse()  # pyright: ignore[reportAttributeAccessIssue]
        for service in self._services:
            status = await self.Check(health_pb2.HealthCheckRequest(service=service), context)
            answer.statuses[service].CopyFrom(status)
        return answer
