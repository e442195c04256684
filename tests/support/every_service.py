"""A real mesh server that offers every method of the contract and answers each with an empty message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any

import grpc
from nexus_mesh.rpc.server import Servicer
from support.contract import Rpc, rpcs

BUILT_IN = ("grpc.", "nexus.mesh.")  # every server has these already


def servicers() -> list[Servicer]:
    """One servicer for each service of ours."""
    ours = [rpc for rpc in rpcs() if not rpc.service.startswith(BUILT_IN)]
    return [Servicer(list(group), _add) for _, group in groupby(ours, key=lambda rpc: rpc.service)]


def _add(methods: Any, table: Any) -> None:
    table.add_registered_method_handlers(methods[0].service, {rpc.name: _handler(rpc) for rpc in methods})


def _handler(rpc: Rpc) -> Any:
    async def unary(request: Any, context: Any) -> Any:
        return rpc.response()

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield rpc.response()

    kind = f"{'stream' if rpc.client_streaming else 'unary'}_{'stream' if rpc.server_streaming else 'unary'}"
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        stream if rpc.server_streaming else unary,
        request_deserializer=rpc.request.FromString,
        response_serializer=rpc.response.SerializeToString,
    )
