"""The only place that opens channels. None of them goes through the HTTP proxy an environment may name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

__all__ = ["DIRECT", "channel"]

Options = Sequence[tuple[str, Any]]

DIRECT: tuple[tuple[str, Any], ...] = (("grpc.enable_http_proxy", 0),)
"""A proxy that is meant for the web does not reach the members of a mesh, and is not to see who talks to whom."""


def channel(
    address: str, credentials: grpc.ChannelCredentials | None, options: Options = ()
) -> grpc.aio.Channel:
    """A channel to host:port, over TLS where there are credentials. Options stand above ours."""
    told = dict((*DIRECT, *options))  # gRPC takes the first of two equal ones
    if credentials is None:
        return grpc.aio.insecure_channel(address, tuple(told.items()))  # noqa: TID251 - it is here
    return grpc.aio.secure_channel(address, credentials, tuple(told.items()))  # noqa: TID251 - it is here
