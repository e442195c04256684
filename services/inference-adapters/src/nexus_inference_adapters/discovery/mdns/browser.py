"""Hears announcements: the only part that knows zeroconf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from nexus_mesh.core import telemetry
from nexus_mesh.process import mdns

from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.contract import open_session
from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.mdns.adverts import SERVICES, Use, read_advert
from nexus_inference_adapters.discovery.mdns.seeker import Seeker, is_here
from nexus_inference_adapters.discovery.mdns.sources import Sources

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

__all__ = ["Browser", "browsing"]

NAMES = 1024
"""That are known at a time; more than the candidates, which are chosen from them anew in each round."""
CHANCES = 128
"""In each round, for those there was no room for: all have had one after NAMES / CHANCES rounds."""
QUESTIONS_AT_ONCE = 16
QUESTION_MILLISECONDS = 1500
ROUND_SECONDS = 10.0

log = telemetry.logger("mdns")


@asynccontextmanager
async def browsing(
    backends: DiscoveredBackends,
    settings: AdapterSettings,
    *,
    services: Mapping[str, Use] = SERVICES,
    interfaces: Callable[[], Sequence[str]] = mdns.local_interfaces,
    here: Callable[[str], bool] = is_here,
) -> AsyncIterator[Seeker]:
    """Finds what is announced on the local network for as long as the context lasts, and serves it no longer."""
    async with open_session() as session:
        seeker = Seeker(backends, settings, session, here)
        task = asyncio.create_task(Browser(seeker, services, interfaces, here).run(), name="mdns")
        try:
            yield seeker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await seeker.close()


class Browser:
    """Keeps a seeker told of the services there are.

    An address that is `here` counts only in what this machine announced itself: others would choose where we look.
    """

    def __init__(
        self,
        seeker: Seeker,
        services: Mapping[str, Use],
        interfaces: Callable[[], Sequence[str]],
        here: Callable[[str], bool],
    ) -> None:
        self._sources = Sources(here)
        self._seeker = seeker
        self._services = services
        self._interfaces = interfaces
        self._names: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Listens until it is cancelled, on whatever networks there are meanwhile."""
        while True:
            try:
                async with mdns.responder(self._interfaces()) as zeroconf:
                    await self._browse(zeroconf)
            except OSError as error:
                log.warning("announcements cannot be heard", detail=str(error))
            except Exception:  # whatever others send must not end the watch
                log.exception("announcements cannot be heard")
            await asyncio.sleep(ROUND_SECONDS)

    async def _browse(self, zeroconf: AsyncZeroconf) -> None:
        from zeroconf.asyncio import AsyncServiceBrowser

        self._sources.listen(zeroconf.zeroconf)
        browser = AsyncServiceBrowser(zeroconf.zeroconf, list(self._services), handlers=[self._changed])
        try:
            while True:
                await asyncio.sleep(ROUND_SECONDS)
                await zeroconf.async_update_interfaces(list(self._interfaces()))
                self._sources.listen(zeroconf.zeroconf)
                self._look_again(zeroconf.zeroconf)
        finally:
            for name in tuple(self._names):
                self._lose(name)
            await browser.async_cancel()

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Called by zeroconf, in this loop."""
        if state_change.name == "Removed":
            self._lose(name)
        elif name in self._names or len(self._names) < NAMES:
            self._names[name] = service_type
            self._resolve(zeroconf, name)

    def _look_again(self, zeroconf: Zeroconf) -> None:
        """Gives those a chance for whom there was no room, each in its turn: who comes anew comes last."""
        waiting = [name for name in self._names if name not in self._seeker.candidates]
        for name in waiting[:CHANCES]:
            self._names[name] = self._names.pop(name)
            self._resolve(zeroconf, name)

    def _lose(self, name: str) -> None:
        self._names.pop(name, None)
        if asking := self._asking.pop(name, None):
            asking.cancel()
        self._seeker.gone(name)

    def _resolve(self, zeroconf: Zeroconf, name: str) -> None:
        """Passes a service on once its address is known; an announcement mostly says it at once."""
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        if name in self._asking:
            return
        with suppress(Error):  # a name that is none
            info = AsyncServiceInfo(self._names[name], name)
            info.load_from_cache(zeroconf)
            if not self._pass_on(info) and len(self._asking) < QUESTIONS_AT_ONCE:
                task = asyncio.create_task(self._ask(zeroconf, info), name=f"ask for {name[:64]}")
                self._asking[name] = task
                task.add_done_callback(lambda _: self._asking.pop(name, None))

    async def _ask(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        from zeroconf import Error

        with suppress(Error, OSError):
            await info.async_request(zeroconf, QUESTION_MILLISECONDS)
            self._pass_on(info)

    def _pass_on(self, info: AsyncServiceInfo) -> bool:
        """Whether an address was known, be it one that may be asked or not."""
        addresses = info.parsed_addresses()
        if not addresses or info.port is None or info.name not in self._names:
            return False
        if not self._sources.said_here(info.name, info.port):
            addresses = [one for one in addresses if not self._sources.is_here(one)]
        advert = read_advert(info.name, self._services[info.type], addresses, info.port, info.server)
        if advert is not None:
            self._seeker.heard(advert)
        return True
