"""The gateway's own announcement, by real mDNS on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nexus_gateway.announcing import announce, announced_addresses
from nexus_gateway.config import GatewaySettings
from nexus_mesh.core.version import VERSION
from nexus_mesh.process.mdns import NEXUS_SERVICE
from support.processes import free_port
from support.waiting import eventually
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

LOOPBACK = ["127.0.0.1"]
BOUND = 20.0


@asynccontextmanager
async def announced() -> AsyncIterator[dict[str, ServiceInfo]]:
    """What is announced as a mesh on loopback now, by name."""
    found: dict[str, ServiceInfo] = {}

    def changed(zeroconf: object, service_type: str, name: str, state_change: object) -> None:
        if getattr(state_change, "name", "") == "Removed":
            found.pop(name, None)
        else:
            info = ServiceInfo(service_type, name)
            info.load_from_cache(responder.zeroconf)
            found[name] = info

    responder = AsyncZeroconf(interfaces=LOOPBACK)
    browser = AsyncServiceBrowser(responder.zeroconf, [NEXUS_SERVICE], handlers=[changed])
    try:
        yield found
    finally:
        await browser.async_cancel()
        await responder.async_close()


async def test_the_endpoint_is_announced_until_the_gateway_drains() -> None:
    port, draining = free_port(), asyncio.Event()
    name = f"nexus-studio-{port}.{NEXUS_SERVICE}"
    settings = GatewaySettings.model_construct(node="studio")
    async with announced() as found:
        running = asyncio.create_task(announce(settings, "0.0.0.0", port, draining, lambda _: LOOPBACK))
        await eventually(lambda: name in found, BOUND, "the announcement")
        info = found[name]
        assert (info.port, info.parsed_addresses()) == (port, LOOPBACK)
        assert info.decoded_properties == {"version": VERSION, "path": "/v1"}
        draining.set()
        await running
        await eventually(lambda: name not in found, BOUND, "the goodbye")


async def test_two_gateways_of_one_name_are_both_announced() -> None:
    """One after the other: two that look for their name in the same moment hear nothing of each other yet."""
    port = free_port()
    settings = GatewaySettings.model_construct(node="studio")
    ours = f"nexus-studio-{port}"
    drainings = [asyncio.Event(), asyncio.Event()]
    running = list[asyncio.Task[None]]()
    async with announced() as found:

        def heard() -> int:
            return sum(name.startswith(ours) for name in found)

        for number, draining in enumerate(drainings, 1):
            announcing = announce(settings, "0.0.0.0", port, draining, lambda _: LOOPBACK)
            running.append(asyncio.create_task(announcing))
            await eventually(lambda wanted=number: heard() == wanted, BOUND, f"{number} of them")
        for draining in drainings:
            draining.set()
        await asyncio.gather(*running)


async def test_a_cancelled_announcement_says_goodbye_too() -> None:
    port = free_port()
    settings = GatewaySettings.model_construct(node="studio")
    async with announced() as found:
        running = asyncio.create_task(announce(settings, "", port, asyncio.Event(), lambda _: LOOPBACK))
        name = f"nexus-studio-{port}.{NEXUS_SERVICE}"
        await eventually(lambda: name in found, BOUND, "the announcement")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await eventually(lambda: name not in found, BOUND, "the goodbye")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "localhost", "8.8.8.8", "nas.example", "169.254.169.254"]
)
def test_only_what_the_local_network_can_use_is_announced(host: str) -> None:
    assert announced_addresses(host) == []


def test_everywhere_means_the_addresses_there_are() -> None:
    assert announced_addresses("192.168.1.10") == ["192.168.1.10"]
    assert not {"0.0.0.0", "127.0.0.1"} & set(announced_addresses("0.0.0.0"))
