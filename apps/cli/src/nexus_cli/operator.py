"""Calls to the mesh as its operator, with the identity the vault keeps in the data directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from nexus_mesh.identity import role_server_name, tls
from nexus_mesh.rpc import Peer

from nexus_cli.layout import Layout
from nexus_cli.output import Failure

__all__ = ["control", "dialled"]


@asynccontextmanager
async def control(
    layout: Layout, role: Literal["registry", "router", "vault", "gateway"]
) -> AsyncIterator[Peer]:
    """The control service of a role. Raises Failure when there is no mesh here."""
    mesh = layout.read()
    if mesh is None or role not in mesh.control:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`, or give its --home.")
    async with dialled(layout, mesh.control[role], role_server_name(role, mesh.trust_domain)) as peer:
        yield peer


@asynccontextmanager
async def dialled(layout: Layout, address: str, server_name: str) -> AsyncIterator[Peer]:
    """Any service, such as an adapter, by what the mesh says of it. Raises Failure without an identity."""
    material = tls.load(layout.operator)
    if material is None:
        raise Failure(
            "This machine has no operator identity, or it has expired.",
            "Run this where `nexus up` runs (the control host); it renews the identity while it runs.",
        )
    peer = Peer(address, server_name, tls.Identity(material))
    try:
        yield peer
    finally:
        await peer.close()
