"""What comes of calling a server of the mesh: each method of the contract once, with an empty request.

The blocking client of gRPC does it. The one for asyncio can lose the status of a call that is refused while its
request stream is being written, and reports INTERNAL instead (grpc/grpc#36066).
"""

from __future__ import annotations

from typing import Any

import grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from nexus_mesh.core.errors import Reason
from nexus_mesh.rpc.status import from_rpc_error
from support.contract import Rpc, rpcs

RPCS = rpcs()
REFLECTION = next(rpc for rpc in RPCS if rpc.name == "ServerReflectionInfo")

THROUGH, REFUSED, ABSENT, UNREACHED = "let through", "refused by policy", "not offered", "not reached"
FAULTS = {Reason.MESH_IDENTITY, Reason.INTERNAL}  # never an answer to a member, whatever the request
# What the library says by itself. A stream that sends nothing runs into its deadline: it was let through.
BARE = {"UNIMPLEMENTED": ABSENT, "DEADLINE_EXCEEDED": THROUGH, "UNAVAILABLE": UNREACHED}
DEADLINE = 10.0


def verdicts(address: str, server_name: str, credentials: grpc.ChannelCredentials) -> dict[str, str]:
    """Path -> one of the four, or the name of what should not have happened. Blocks."""
    with _channel(address, server_name, credentials) as channel:
        return {rpc.path: _verdict(channel, rpc) for rpc in RPCS}


def described(address: str, server_name: str, credentials: grpc.ChannelCredentials) -> set[str]:
    """The services of a server by its own word. Blocks."""
    with _channel(address, server_name, credentials) as channel:
        answer = _first(channel, REFLECTION, ServerReflectionRequest(list_services=""))
    return {service.name for service in answer.list_services_response.service}


def _channel(address: str, server_name: str, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(address, credentials, (("grpc.ssl_target_name_override", server_name),))


def _verdict(channel: grpc.Channel, rpc: Rpc) -> str:
    try:
        _first(channel, rpc, rpc.request())
    except grpc.RpcError as error:
        return _reading(error)
    return THROUGH


def _first(channel: grpc.Channel, rpc: Rpc, request: Any) -> Any:
    """The answer, or the first message of it, None if it has none: many streams never end by themselves."""
    kind = f"{'stream' if rpc.client_streaming else 'unary'}_{'stream' if rpc.server_streaming else 'unary'}"
    method = getattr(channel, kind)(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
    answer = method(iter([request]) if rpc.client_streaming else request, timeout=DEADLINE)
    if not rpc.server_streaming:
        return answer
    try:
        return next(answer, None)
    finally:
        answer.cancel()


def _reading(error: Any) -> str:
    """An error in the service's own words means that the call got as far as the service."""
    told = from_rpc_error(error)
    if (code := told.metadata.get("grpc")) is not None:
        return BARE.get(code, f"{code} without a reason")
    if told.reason is Reason.MESH_POLICY:
        return REFUSED
    return told.reason.value if told.reason in FAULTS else THROUGH
