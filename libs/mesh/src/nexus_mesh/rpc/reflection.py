"""What a server offers, told to whoever may ask: both versions of the protocol, and methods and fields as symbols.

The library has the older version alone and finds no methods. The two differ in nothing but the package's name, so the
newer one is made from the older one's own description.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha import reflection, reflection_pb2

from nexus_mesh.rpc.handlers import HandlerTable

__all__ = ["V1", "add_reflection"]

OLD, NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICE, METHOD = "ServerReflection", "ServerReflectionInfo"


def _newer() -> Any:
    """The descriptor of the newer version's file."""
    proto = FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    proto.name, proto.package = proto.name.replace("v1alpha", "v1"), NEW
    for message in proto.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{OLD}.", f".{NEW}.")
    for method in proto.service[0].method:
        method.input_type = method.input_type.replace(f".{OLD}.", f".{NEW}.")
        method.output_type = method.output_type.replace(f".{OLD}.", f".{NEW}.")
    pool = Default()
    pool.AddSerializedFile(proto.SerializeToString())
    return pool.FindFileByName(proto.name)


V1: Any = _newer()


class _Servicer(reflection.aio.ReflectionServicer):
    """Finds what stands inside a service or a message too."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        symbol = self._file_level(fully_qualified_name)
        return super()._file_containing_symbol(request, symbol)  # type: ignore[misc] - the library's stubs lack it

    def _file_level(self, symbol: str) -> str:
        """The service or message that has the symbol as a method, field or oneof; else the symbol itself."""
        pool = Default()
        finders: tuple[tuple[Callable[[str], Any], str], ...] = (
            (pool.FindMethodByName, "containing_service"),
            (pool.FindFieldByName, "containing_type"),
            (pool.FindOneofByName, "containing_type"),
        )
        for find, owner in finders:
            try:
                return str(getattr(find(symbol), owner).full_name)
            except KeyError:
                continue
        return symbol


def add_reflection(table: HandlerTable) -> None:
    """Describes what is in the table by now, and itself."""
    described: Any = _Servicer((*table.services, f"{NEW}.{SERVICE}", f"{OLD}.{SERVICE}"))
    # Requests and answers of both are the same bytes.
    handler = grpc.stream_stream_rpc_method_handler(
        described.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for package in (NEW, OLD):
        table.add_registered_method_handlers(f"{package}.{SERVICE}", {METHOD: handler})
