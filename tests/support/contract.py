"""The whole contract as data: every service and method that a server of ours can offer."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nexus.types.v1.error_pb2
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from nexus_mesh.rpc import reflection

ROOT = Path(nexus.types.v1.error_pb2.__file__).parents[2]
FOREIGN = ("etcd",)  # contracts of servers that are not ours


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method as its descriptor declares it."""

    service: str
    name: str
    request: type[Any]
    response: type[Any]
    client_streaming: bool
    server_streaming: bool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


def files() -> Iterator[Any]:
    """Every file descriptor with services."""
    for path in sorted(ROOT.rglob("*_pb2.py")):
        if path.parent.parent.name not in FOREIGN:
            yield importlib.import_module(f"nexus.{path.parent.parent.name}.v1.{path.stem}").DESCRIPTOR
    yield health_pb2.DESCRIPTOR
    yield reflection_pb2.DESCRIPTOR
    yield reflection.V1


def rpcs() -> list[Rpc]:
    """Every method, by path."""
    return [
        Rpc(
            service.full_name,
            method.name,
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
            method.client_streaming,
            method.server_streaming,
        )
        for file in files()
        for service in file.services_by_name.values()
        for method in service.methods
    ]
