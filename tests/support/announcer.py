"""Announces services by real mDNS, on loopback unless told otherwise."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

LOOPBACK = ("127.0.0.1",)


def service_type() -> str:
    """A type nobody else on this machine announces or browses just now."""
    return f"_x{secrets.token_hex(5)}._tcp.local."


class Announcer:
    """One machine's responder. Names are `label.service`."""

    def __init__(self, zeroconf: AsyncZeroconf) -> None:
        self.zeroconf = zeroconf
        self._announced: dict[str, ServiceInfo] = {}

    async def announce(
        self, service: str, label: str, port: int, addresses: Sequence[str] = LOOPBACK, **txt: str
    ) -> str:
        """Announces without asking first whether the name is free; returns the service's name."""
        info = _info(service, label, port, addresses, txt)
        await self.zeroconf.async_register_service(info, cooperating_responders=True)
        self._announced[info.name] = info
        return info.name

    async def withdraw(self, name: str) -> None:
        """Says goodbye."""
        await (await self.zeroconf.async_unregister_service(self._announced.pop(name)))

    def say_once(self, service: str, label: str, port: int, addresses: Sequence[str] = LOOPBACK) -> str:
        """Announces as one that is cut off right after: no question is answered, no goodbye is said."""
        zeroconf, info = self.zeroconf.zeroconf, _info(service, label, port, addresses, {})
        zeroconf.async_send(zeroconf.generate_service_broadcast(info, None))
        return info.name


def _info(service: str, label: str, port: int, addresses: Sequence[str], txt: dict[str, str]) -> ServiceInfo:
    server = f"{label.replace(' ', '-')}.local."
    return ServiceInfo(
        service,
        f"{label}.{service}",
        port=port,
        parsed_addresses=list(addresses),
        properties=txt,
        server=server,
    )


@asynccontextmanager
async def announcer(interfaces: Sequence[str] = LOOPBACK) -> AsyncIterator[Announcer]:
    """Says goodbye for everything at the end."""
    zeroconf = AsyncZeroconf(interfaces=list(interfaces))
    try:
        await zeroconf.zeroconf.async_wait_for_start()
        yield Announcer(zeroconf)
    finally:
        await zeroconf.async_close()
