"""What a server says of itself: whatever a gRPC tool may look up, by either version of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from nexus_mesh.rpc.server import MeshServer, start_server
from support.ca import MeshCA
from support.contract import files, rpcs
from support.every_service import servicers

VERSIONS = ("v1", "v1alpha")


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[grpc.Channel]:
    ca = MeshCA()
    server: MeshServer = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity("registry"), denied=set()
    )
    name = (("grpc.ssl_target_name_override", ca.spiffe("registry").server_name),)
    credentials = ca.identity("operator").channel_credentials()
    with grpc.secure_channel(f"127.0.0.1:{server.port}", credentials, name) as opened:
        yield opened
    await server.drain(settle=0, grace=0)


def asked(
    channel: grpc.Channel, version: str, *requests: ServerReflectionRequest
) -> list[ServerReflectionResponse]:
    method = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )
    return list(method(iter(requests), timeout=10))


def symbols() -> Iterator[tuple[str, str]]:
    """Everything with a name in the whole contract, and the file it stands in."""
    for file in files():
        for service in file.services_by_name.values():
            yield service.full_name, file.name
            for method in service.methods:
                yield method.full_name, file.name
        for message in file.message_types_by_name.values():
            yield message.full_name, file.name
            for part in (*message.fields, *message.oneofs):
                yield part.full_name, file.name
        for enum in file.enum_types_by_name.values():
            yield enum.full_name, file.name


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_method_message_and_field_is_a_symbol(
    channel: grpc.Channel, version: str
) -> None:
    """E11: `grpcurl describe nexus.inference.v1.InferenceService.Complete`."""
    wanted = list(symbols())
    requests = [ServerReflectionRequest(file_containing_symbol=symbol) for symbol, _ in wanted]
    answers = await asyncio.to_thread(asked, channel, version, *requests)
    found = [
        FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0]).name
        if answer.HasField("file_descriptor_response")
        else f"no {symbol}"
        for (symbol, _), answer in zip(wanted, answers, strict=True)
    ]
    assert found == [file for _, file in wanted]
    assert len(found) > 300


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_service_is_listed_and_what_is_not_there_is_not_found(
    channel: grpc.Channel, version: str
) -> None:
    """E11: both versions list both, and neither invents anything."""
    listing, missing, no_method = await asyncio.to_thread(
        asked,
        channel,
        version,
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="nexus.nothing.v1.Nothing"),
        ServerReflectionRequest(file_containing_symbol="nexus.inference.v1.InferenceService.Nothing"),
    )
    listed = {service.name for service in listing.list_services_response.service}
    assert listed == {rpc.service for rpc in rpcs()}
    for answer in (missing, no_method):
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
