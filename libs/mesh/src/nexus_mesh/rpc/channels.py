"""What calls run on: channels, their options, typed names of RPCs, and what either end sees of one. The only place that
opens a channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NoReturn, Protocol, TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

__all__ = [
    "DIRECT",
    "KEPT_UP",
    "MAX_MESSAGE",
    "Context",
    "Duplex",
    "Metadata",
    "Method",
    "Option",
    "Options",
    "Req",
    "Res",
    "blocking_channel",
    "channel",
    "merged",
]

Option = tuple[str, int | str]
Options = tuple[Option, ...]
Metadata = tuple[tuple[str, str], ...]
Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)
Req_co = TypeVar("Req_co", bound=Message, covariant=True)
Res_co = TypeVar("Res_co", bound=Message, covariant=True)
Req_contra = TypeVar("Req_contra", bound=Message, contravariant=True)

MAX_MESSAGE = 20 * 1024 * 1024
DIRECT: Options = (("grpc.enable_http_proxy", 0),)
"""A proxy that is meant for the web does not reach the members of a mesh, and is not to see who talks to whom."""

KEPT_UP: Options = (
    # A cable that is pulled says nothing: after so long a silence, and as long again without an answer, it is cut.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without this a frozen peer is noticed after a minute only, whatever the two above say.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # A process that is restarted is back within a second or two; to look for it costs next to nothing.
    ("grpc.max_reconnect_backoff_ms", 500),
    # Channels of different certificates must never share a connection.
    ("grpc.use_local_subchannel_pool", 1),
)
"""Of channels between members."""


class Method(Generic[Req_co, Res_co]):
    """One RPC: its service's full name, its own name, and the two message types. Raises if the contract differs.

    `tunnelled`: calls travel in a tunnel (nexus.mesh.v1.TunnelService) where they fit.
    """

    __slots__ = ("path", "request", "response", "tunnelled")

    def __init__(
        self,
        service: str,
        name: str,
        request: type[Req_co],
        response: type[Res_co],
        *,
        tunnelled: bool = False,
    ) -> None:
        declared = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        given = (request.DESCRIPTOR.full_name, response.DESCRIPTOR.full_name)
        if given != (declared.input_type.full_name, declared.output_type.full_name):
            raise TypeError(f"{service}/{name} is declared with other messages than {given}")
        self.path = f"/{service}/{name}"
        self.request = request
        self.response = response
        self.tunnelled = tunnelled


class Duplex(Protocol[Req_contra, Res_co]):
    """A two-way stream of its caller's. After the last message `read` gives grpc.aio.EOF, which no type tells."""

    async def read(self) -> Res_co: ...

    async def write(self, request: Req_contra) -> None: ...

    async def done_writing(self) -> None: ...

    def cancel(self) -> bool: ...

    def done(self) -> bool: ...


class Context(Protocol):
    """What is asked of a call's context, be it the library's or a tunnel's."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def time_remaining(self) -> float | None: ...

    def done(self) -> bool: ...

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> NoReturn: ...


def merged(*groups: Iterable[Option]) -> Options:
    """The options of all groups, each name once: what a later group says replaces what an earlier one said.

    Of two with the same name gRPC takes the first and tells nobody.
    """
    return tuple({name: value for group in groups for name, value in group}.items())


def channel(
    address: str, credentials: grpc.ChannelCredentials | None, options: Options = ()
) -> grpc.aio.Channel:
    """A channel to host:port, over TLS where there are credentials, past any proxy. Options stand above ours."""
    every = merged(DIRECT, options)
    if credentials is None:
        return grpc.aio.insecure_channel(address, every)  # noqa: TID251 - it is here
    return grpc.aio.secure_channel(address, credentials, every)  # noqa: TID251 - it is here


def blocking_channel(
    address: str, credentials: grpc.ChannelCredentials, options: Options = ()
) -> grpc.Channel:
    """The same by the library's other client, whose calls block the thread that makes them."""
    return grpc.secure_channel(address, credentials, merged(DIRECT, options))
