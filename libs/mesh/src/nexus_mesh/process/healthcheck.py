"""`python -m nexus_mesh.process.healthcheck`: asks every service of this home for its health. Exit 0 when all serve."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from grpc_health.v1 import health_pb2

from nexus_mesh.core import MeshError, default_home
from nexus_mesh.identity import tls
from nexus_mesh.process import run_file
from nexus_mesh.rpc import Method, Peer

__all__ = ["CHECK", "check"]

CHECK = Method(
    "grpc.health.v1.Health", "Check", health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
)


async def check(found: run_file.RunFile) -> str:
    """SERVING, or what is wrong instead."""
    material = tls.load(Path(found.identity))
    if material is None:
        return "its identity is missing or expired"
    peer = Peer(found.address, found.server_name, tls.Identity(material))
    try:
        answer = await peer.unary(CHECK, health_pb2.HealthCheckRequest(), timeout=3.0)
    except MeshError as error:
        return error.message
    finally:
        await peer.close()
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def main() -> int:
    found = run_file.read_all(default_home())
    answers = await asyncio.gather(*(check(entry) for entry in found))
    for entry, answer in zip(found, answers, strict=True):
        sys.stdout.write(f"{entry.role}-{entry.name}: {answer}\n")
    return 0 if found and all(answer == "SERVING" for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
