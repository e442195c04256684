"""How soon an engine that announces itself on the network can be used, and goes when it says goodbye."""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

from nexus_mesh.process import mdns
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from bench.backends import engine
from bench.client import Endpoint
from bench.lifecycle import at_gateway
from bench.measure import Figures
from bench.nexus import backend_table, up

__all__ = ["arrival"]

SERVICE = "_openai._tcp.local."
INTERFACES = ("127.0.0.1",)


async def arrival(folder: Path, times: int) -> Figures:
    """Milliseconds from an engine's first word by mDNS to its model in the gateway's list, and from goodbye to none.

    All there is between counts: resolving, asking it what it is, inspecting it, registry, router, gateway.
    """
    arrived: list[float] = []
    left: list[float] = []
    async with AsyncExitStack() as stack:
        steady, _ = await stack.enter_async_context(engine(folder / "steady.log", "steady"))
        tables = backend_table("steady", steady)
        mesh = await stack.enter_async_context(up(folder / "mdns", tables, discovery=True))
        responder = await stack.enter_async_context(mdns.responder(INTERFACES))
        endpoint = Endpoint(mesh.host, mesh.port, "/v1/models")
        for number in range(times):
            name = f"announced-{number}"
            print(f"  mdns, {name} of {times}", flush=True)
            async with engine(folder / "announced.log", name) as (port, _):
                took = await _come_and_go(responder, endpoint, name, port)
            arrived.append(took[0])
            left.append(took[1])
    return {
        "routable_ms": statistics.median(arrived),
        "routable_max_ms": max(arrived),
        "gone_ms": statistics.median(left),
        "gone_max_ms": max(left),
    }


async def _come_and_go(
    responder: AsyncZeroconf, endpoint: Endpoint, name: str, port: int
) -> tuple[float, float]:
    info = ServiceInfo(
        SERVICE, f"{name}.{SERVICE}", port=port, parsed_addresses=list(INTERFACES), server=f"{name}.local."
    )
    began = time.monotonic()
    # Without the half second in which a responder asks whether its name is free: nobody hears of it before.
    await responder.async_register_service(info, cooperating_responders=True)
    routable = await at_gateway(endpoint, name, wanted=True)
    goodbye = time.monotonic()
    await responder.async_unregister_service(info)
    gone = await at_gateway(endpoint, name, wanted=False)
    return (routable - began) * 1e3, (gone - goodbye) * 1e3
