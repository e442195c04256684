"""The registry's table, as commands read it."""

from __future__ import annotations

from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus_mesh.rpc import Method, Peer

from nexus_cli.layout import Layout
from nexus_cli.operator import control

__all__ = ["STATES", "every", "listed"]

LIST = Method(
    "nexus.registry.v1.RegistryService", "List", registry_pb2.ListRequest, registry_pb2.ListResponse
)
STATES = {
    number: name.removeprefix("STATE_").lower() for name, number in instance_pb2.State.items() if number
} | {instance_pb2.STATE_UNSPECIFIED: "unknown"}


async def listed(layout: Layout, role: str = "") -> list[instance_pb2.Instance]:
    """Every instance of a role, or of all."""
    async with control(layout, "registry") as registry:
        return await every(registry, role)


async def every(registry: Peer, role: str) -> list[instance_pb2.Instance]:
    """The same, of a registry that is spoken to already."""
    found: list[instance_pb2.Instance] = []
    token = ""
    while True:
        request = registry_pb2.ListRequest(role=role, page_token=token)
        page = await registry.unary(LIST, request, timeout=5.0)
        found += page.instances
        token = page.next_page_token
        if not token:
            return found
