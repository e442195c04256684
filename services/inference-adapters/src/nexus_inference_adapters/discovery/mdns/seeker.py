"""Looks at what was announced, and serves what proves to be an engine for as long as it does."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp
from nexus_mesh.core import Backoff, telemetry
from nexus_mesh.process import own_addresses

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.finding import MISSES_TO_DROP, RESCAN_SECONDS, ports_to_skip
from nexus_inference_adapters.discovery.listeners import FRESH_SECONDS
from nexus_inference_adapters.discovery.mdns.adverts import Advert, Use
from nexus_inference_adapters.discovery.mdns.candidates import Candidates, Standing
from nexus_inference_adapters.discovery.probing import LOOPBACK, probe

__all__ = ["Seeker", "is_here"]

PROBES_AT_ONCE = 16
REMOTE_MOST = 16
ELSEWHERE = {"remote": True, "priority": 200}
"""What is set for an engine on another machine: after everything of the mesh's own, before the demo model."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
LINES_A_MINUTE = 60

log = telemetry.logger("mdns")


def is_here(address: str) -> bool:
    """Whether an address is this machine's own."""
    return ipaddress.ip_address(address).is_loopback or address in own_addresses()


class Seeker:
    """Follows each advert in a task of its own. `here` tells this machine's addresses from others'."""

    def __init__(
        self,
        backends: DiscoveredBackends,
        settings: AdapterSettings,
        session: aiohttp.ClientSession,
        here: Callable[[str], bool] = is_here,
    ) -> None:
        self.candidates = Candidates()
        self._backends = backends
        self._session = session
        self._here = here
        self._adopts = settings.mdns == "adopt"
        self._skip = ports_to_skip(settings)
        self._listed = {_place(backend.url) for backend in settings.backends if backend.url}
        self._places = asyncio.Semaphore(PROBES_AT_ONCE)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._lines: list[float] = []

    def heard(self, advert: Advert) -> None:
        """A service is announced, or announced anew."""
        if advert == self.candidates.get(advert.name):
            return
        self.gone(advert.name)
        remembered, displaced = self.candidates.admit(advert)
        if displaced is not None:
            self._leave(displaced)
        if not remembered:
            return
        if advert.use is not Use.ENGINE:
            self._tell(advert.use.value, advert)
            return
        task = asyncio.create_task(self._follow(advert), name=f"candidate {advert.name[:64]}")
        task.add_done_callback(_report_death)
        self._following[advert.name] = task

    def gone(self, name: str) -> None:
        """A service said goodbye, or its announcement is too old."""
        self.candidates.forget(name)
        self._leave(name)

    async def close(self) -> None:
        """Follows nobody any more and serves nothing that was found here."""
        for name in tuple(self._following):
            self._leave(name)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _leave(self, name: str) -> None:
        task = self._following.pop(name, None)
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _follow(self, advert: Advert) -> None:
        """Until it is an engine elsewhere that may not be served, or for as long as it is announced."""
        pauses, misses, held = Backoff(FIRST_PAUSE, LONGEST_PAUSE), 0, ""
        try:
            while True:
                found = await self._look(advert)
                if found is not None and found.remote and not self._may_adopt(held):
                    self.candidates.settle(advert.name, Standing.SEEN)
                    self._tell(
                        "engine on another machine; to serve it, list it in [[backends]]", advert, found
                    )
                    return
                misses = 0 if found is not None else misses + 1
                if held and (misses >= MISSES_TO_DROP or (found is not None and found.name != held)):
                    await self._backends.release(held, advert.name)
                    held = ""
                if found is not None and self._backends.hold(found, advert.name):
                    held = found.name
                    pauses.reset()
                self.candidates.settle(advert.name, Standing.SERVED if held else Standing.FAILED)
                await asyncio.sleep(RESCAN_SECONDS if held else pauses.next())
        finally:
            if held:
                await self._backends.release(held, advert.name)

    async def _look(self, advert: Advert) -> BackendConfig | None:
        """The engine at the first of its addresses that has one."""
        places = [one for one in self._places_of(advert) if await self._may_ask(one, advert.port)]
        async with self._places:
            answers = await asyncio.gather(*(probe(self._session, one, advert.port) for one in places))
        for address, config in zip(places, answers, strict=True):
            if config is not None:
                elsewhere = not self._here(address)
                return config.model_copy(update=ELSEWHERE if elsewhere else {})
        log.debug("no engine at what was announced", name=advert.name[:128], addresses=advert.addresses)
        return None

    def _places_of(self, advert: Advert) -> list[str]:
        """The addresses to try: none the operator has spoken on already.

        Other machines also announce addresses that mean this one here, such as a container bridge's.
        """
        elsewhere = [address for address in advert.addresses if not self._here(address)]
        if elsewhere:
            listed = self._listed
            named = (advert.server, advert.port) in listed
            return [one for one in elsewhere if not named and (one, advert.port) not in listed]
        # By its loopback address first, by which a scan of the usual ports finds it too.
        return [] if advert.port in self._skip else list(dict.fromkeys((LOOPBACK, *advert.addresses)))

    async def _may_ask(self, address: str, port: int) -> bool:
        """Of this machine only what listens for us, or for whom we trust."""
        return not self._here(address) or await self._backends.owners.admits(address, port, FRESH_SECONDS)

    def _may_adopt(self, held: str) -> bool:
        return self._adopts and (bool(held) or self._backends.elsewhere < REMOTE_MOST)

    def _tell(self, what: str, advert: Advert, found: BackendConfig | None = None) -> None:
        """Logs what somebody announced, but no more than so many lines a minute: anybody can make them."""
        now = time.monotonic()
        self._lines = [then for then in self._lines if now - then < 60]
        if len(self._lines) < LINES_A_MINUTE:
            self._lines.append(now)
            where = {"url": found.url, "kind": found.kind} if found else {"port": advert.port}
            log.info(what, name=advert.name[:128], addresses=advert.addresses, **where)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _report_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("candidate died", task=task.get_name(), exc_info=error)
