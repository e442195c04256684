"""Typed names of RPCs, checked against the contract when they are made."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

__all__ = ["Method", "Req", "Res"]

Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)


class Method(Generic[Req, Res]):
    """One RPC: its service's full name, its own name, and the two message types. Raises if the contract differs.

    `tunnelled`: calls travel in a tunnel (nexus.mesh.v1.TunnelService) where they fit.
    """

    __slots__ = ("path", "request", "response", "tunnelled")

    def __init__(
        self, service: str, name: str, request: type[Req], response: type[Res], *, tunnelled: bool = False
    ) -> None:
        declared = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        given = (request.DESCRIPTOR.full_name, response.DESCRIPTOR.full_name)
        if given != (declared.input_type.full_name, declared.output_type.full_name):
            raise TypeError(f"{service}/{name} is declared with other messages than {given}")
        self.path = f"/{service}/{name}"
        self.request = request
        self.response = response
        self.tunnelled = tunnelled
