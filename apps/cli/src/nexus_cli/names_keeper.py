"""Keeps the names that Tab offers as the mesh has them, for as long as its supervisor runs."""

from __future__ import annotations

import asyncio
import contextlib

from nexus_mesh.core import MeshError

from nexus_cli import instances, keys, names
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure

__all__ = ["keep"]

LOOKS = 100
"""Over one connection; the next one is made with the identity as it was renewed meanwhile."""


async def keep(layout: Layout) -> None:
    """Never ends. While the mesh does not answer nothing is written, and what is there grows old."""
    while True:
        with contextlib.suppress(MeshError, Failure, OSError):
            async with control(layout, "registry") as registry, control(layout, "vault") as vault:
                for _ in range(LOOKS):
                    adapters = await instances.every(registry, "adapter")
                    backends = [backend for adapter in adapters for backend in adapter.status.backends]
                    known = {
                        "models": {model.id for backend in backends for model in backend.models},
                        "backends": {backend.name for backend in backends},
                        "keys": {str(row["name"]) for row in await keys.rows(vault) if not row["revoked"]},
                    }
                    names.write(layout, {kind: sorted(found) for kind, found in known.items()})
                    await asyncio.sleep(names.EVERY_SECONDS)
        await asyncio.sleep(names.EVERY_SECONDS)
