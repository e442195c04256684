"""Tells the local network where the HTTP endpoint is, and takes it back before the process goes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nexus_mesh.core import VERSION, is_loopback, telemetry
from nexus_mesh.process import mdns

from nexus_gateway.config import GatewaySettings

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

__all__ = ["announce", "announced_addresses"]

LABEL_BYTES = 63
LOOK_AGAIN_SECONDS = 30.0

log = telemetry.logger("announcing")


def announced_addresses(host: str) -> list[str]:
    """The addresses clients on the local network can use for an endpoint that listens on `host`; perhaps none.

    A public address is never announced, nor is a name: it may point anywhere.
    """
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return []
    if address.is_unspecified:
        return [one for one in mdns.local_interfaces() if not is_loopback(one)]
    usable = address.version == 4 and mdns.is_local(str(address)) and not address.is_loopback
    return [str(address)] if usable else []


async def announce(
    settings: GatewaySettings,
    host: str,
    port: int,
    draining: asyncio.Event,
    addresses_of: Callable[[str], list[str]] = announced_addresses,
) -> None:
    """Announces host:port until `draining` is set, at whatever addresses there are meanwhile; then takes it back."""
    while not draining.is_set():
        addresses = addresses_of(host)
        try:
            if addresses:
                async with _announced(settings.node, addresses, port):
                    while not draining.is_set() and addresses_of(host) == addresses:
                        await _pause(draining)
        except OSError as error:  # a network that cannot do it is no reason not to serve
            log.warning("endpoint not announced", detail=str(error))
        await _pause(draining)


@asynccontextmanager
async def _announced(node: str, addresses: list[str], port: int) -> AsyncIterator[None]:
    async with mdns.responder(addresses) as responder:  # leaving it says goodbye
        info = _description(node, addresses, port)
        await (await responder.async_register_service(info, allow_name_change=True))
        log.info("endpoint announced", service=info.name, addresses=addresses, port=port)
        yield


async def _pause(draining: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_AGAIN_SECONDS):
            await draining.wait()


def _description(node: str, addresses: list[str], port: int) -> ServiceInfo:
    from zeroconf import ServiceInfo

    # Not the machine's own name, which its system announces itself, perhaps with more addresses.
    label = f"nexus-{node}-{port}"[-LABEL_BYTES:].lstrip("-")
    return ServiceInfo(
        mdns.NEXUS_SERVICE,
        f"{label}.{mdns.NEXUS_SERVICE}",
        port=port,
        parsed_addresses=addresses,
        properties={"version": VERSION, "path": "/v1"},
        server=f"{label}.local.",
    )
