"""The only place that opens channels. None of them goes through the HTTP proxy an environment may name."""

from __future__ import annotations

import grpc

from nexus_mesh.rpc.options import Options, merged

__all__ = ["DIRECT", "channel"]

DIRECT: Options = (("grpc.enable_http_proxy", 0),)
"""A proxy that is meant for the web does not reach the members of a mesh, and is not to see who talks to whom."""


def channel(
    address: str, credentials: grpc.ChannelCredentials | None, options: Options = ()
) -> grpc.aio.Channel:
    """A channel to host:port, over TLS where there are credentials. Options stand above ours."""
    told = merged(DIRECT, options)
    if credentials is None:
        return grpc.aio.insecure_channel(address, told)  # noqa: TID251 - it is here
    return grpc.aio.secure_channel(address, credentials, told)  # noqa: TID251 - it is here
