"""The backends that discovery found: each is served for as long as somebody vouches for it."""

from __future__ import annotations

from urllib.parse import urlsplit

from nexus_mesh.core import telemetry

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.discovery.listeners import Owners
from nexus_inference_adapters.host import Backend, Host

__all__ = ["DiscoveredBackends"]

log = telemetry.logger("discovery")


class DiscoveredBackends:
    """Who vouches for which backend of a host. One engine may be found in several ways and is served once."""

    def __init__(self, host: Host) -> None:
        self.owners = Owners(host.settings.discover_users)
        self._host = host
        self._found: dict[str, Backend] = {}
        self._vouching: dict[str, set[str]] = {}

    @property
    def elsewhere(self) -> int:
        """How many run on other machines."""
        return sum(backend.config.found_elsewhere for backend in self._found.values())

    def hold(self, config: BackendConfig, voucher: str) -> bool:
        """Serves a backend; False when its name is taken by one that discovery did not find."""
        if config.name not in self._found:
            if any(backend.config.name == config.name for backend in self._host.backends):
                return False
            log.info("backend found", backend=config.name, url=config.url)
            self._found[config.name] = self._host.add(config)
            self._vouching[config.name] = set()
        self._vouching[config.name].add(voucher)
        return True

    async def drop_taken(self) -> None:
        """Drops at once what listens for another user now: a port whose engine has ended may be taken by anybody."""
        for name, backend in tuple(self._found.items()):
            place = urlsplit(backend.config.url or "")
            ours = not backend.config.remote and place.hostname is not None and place.port is not None
            if ours and await self.owners.foreign(place.hostname or "", place.port or 0):
                log.warning("backend dropped: another user listens in its place", backend=name)
                for voucher in tuple(self._vouching.get(name, ())):
                    await self.release(name, voucher)

    async def release(self, name: str, voucher: str) -> None:
        """Takes a word back. With the last one the backend goes; requests that run on it go on to their end."""
        vouching = self._vouching.get(name)
        if vouching is None or voucher not in vouching:
            return
        vouching.discard(voucher)
        if vouching:
            return
        del self._vouching[name]
        backend = self._found.pop(name)
        if any(one is backend for one in self._host.backends):
            log.info("backend gone", backend=name)
            await self._host.drop(name)
