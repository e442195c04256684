"""Finds engines that listen on this machine, by what they say and never by their port alone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.contract import open_session
from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.listeners import Owners
from nexus_inference_adapters.discovery.probing import LOOPBACK, probe
from nexus_inference_adapters.kinds import KINDS

__all__ = ["MISSES_TO_DROP", "PORTS", "RESCAN_SECONDS", "Rescan", "discover", "ports_to_skip"]

PORTS = tuple(dict.fromkeys(port for kind in KINDS for port in kind.ports))
RESCAN_SECONDS = 15.0
OWNER_SECONDS = 1.0
MISSES_TO_DROP = 3
VOUCHER = "loopback"


async def discover(
    ports: Sequence[int] = PORTS, skip: Collection[int] = (), owners: Owners | None = None
) -> list[BackendConfig]:
    """What answers on loopback, in the order of `ports`, within a second. `skip` are ports of the mesh itself.

    `owners` tells whose listeners are spoken to at all; by default ours and root's.
    """
    trusted = owners or Owners(())
    wanted = [port for port in ports if port not in skip]
    admitted = await asyncio.gather(*(trusted.admits(LOOPBACK, port) for port in wanted))
    async with open_session() as session:
        probes = [probe(session, LOOPBACK, port) for port, ours in zip(wanted, admitted, strict=True) if ours]
        return [found for found in await asyncio.gather(*probes) if found is not None]


def ports_to_skip(settings: AdapterSettings) -> frozenset[int]:
    """Ports of this machine discovery leaves alone: those it is told of, and those of static backends."""
    static = (urlsplit(backend.url) for backend in settings.backends if backend.url)
    return frozenset({*settings.skip_ports, *(url.port for url in static if url.port)})


class Rescan:
    """Keeps a host's backends in step with what listens on this machine."""

    def __init__(
        self, backends: DiscoveredBackends, settings: AdapterSettings, ports: Sequence[int] = PORTS
    ) -> None:
        self._backends = backends
        self._ports = ports
        self._skip = ports_to_skip(settings)
        self._owners = backends.owners
        self._misses: dict[str, int] = {}

    async def run(self, pause: float = RESCAN_SECONDS) -> None:
        while True:
            await self.once()
            for _ in range(max(1, round(pause / OWNER_SECONDS))):
                await asyncio.sleep(min(pause, OWNER_SECONDS))
                await self._backends.drop_taken()

    async def once(self) -> None:
        """One round. Only what was found here is dropped, once its own inspection has long called it unhealthy."""
        await self._backends.drop_taken()
        found = {config.name: config for config in await discover(self._ports, self._skip, self._owners)}
        for name in sorted(found):
            if self._backends.hold(found[name], VOUCHER):
                self._misses[name] = 0
        self._misses = {name: 0 if name in found else missed + 1 for name, missed in self._misses.items()}
        for name in [name for name, missed in self._misses.items() if missed >= MISSES_TO_DROP]:
            del self._misses[name]
            await self._backends.release(name, VOUCHER)
