"""Finds engines that listen on this machine, by what they say and never by their port alone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import aiohttp
from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError

from nexus_inference_adapters.config import AdapterSettings, BackendConfig
from nexus_inference_adapters.dialects import DIALECTS, Listing
from nexus_inference_adapters.host import Host
from nexus_inference_adapters.http import Http, Seen, open_session

__all__ = ["PORTS", "Rescan", "discover"]

# Ollama, llama.cpp and mlx-lm, vLLM, LM Studio, exo.
PORTS = (11434, 8080, 8081, 8082, 8083, 8000, 8001, 1234, 52415)
PROBE_SECONDS = 0.9
RESCAN_SECONDS = 15.0
MISSES_TO_DROP = 3
UNKNOWN = "other"

log = telemetry.logger("discovery")


async def discover(
    ports: Sequence[int] = PORTS, skip: Collection[int] = (), session: aiohttp.ClientSession | None = None
) -> list[BackendConfig]:
    """What answers on loopback, in the order of `ports`, within a second. `skip` are ports of the mesh itself."""
    if session is None:
        async with open_session() as own:
            return await discover(ports, skip, own)
    probes = [_probe(session, port) for port in ports if port not in skip]
    return [found for found in await asyncio.gather(*probes) if found is not None]


async def _probe(session: aiohttp.ClientSession, port: int) -> BackendConfig | None:
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            known = await _identify(Http(session, url, lambda: None, connect=PROBE_SECONDS))
    except (MeshError, TimeoutError):
        return None
    if known is None:
        return None
    kind, label = known
    return BackendConfig(name=f"{label}-{port}", kind=kind, url=url, origin="discovery")


async def _identify(http: Http) -> tuple[str, str] | None:
    """(kind, label) of a server; None when it is none we know, or the mesh itself."""
    models = await http.look("GET", "/v1/models")
    if _is_nexus(models):
        return None
    version = await http.look("GET", "/api/version")
    if isinstance(version.dig("version"), str) and isinstance(
        (await http.look("GET", "/api/tags")).dig("models"), list
    ):
        return "ollama", "ollama"
    if models.status != 200 or not isinstance(models.dig("data"), list):
        return None
    listing = Listing(models.rows("data"))
    if await _is_mlx(http, models):
        return "mlx", "mlx"
    dialect = next(dialect for dialect in DIALECTS if dialect.fits(listing))
    return None if dialect.name in (UNKNOWN, "openai") else ("openai_compatible", dialect.name)


def _is_nexus(seen: Seen) -> bool:
    """The gateway answers as OpenAI does, with headers no engine on this machine sends."""
    return any(name.lower().startswith(("x-nexus-", "openai-version")) for name in seen.headers)


async def _is_mlx(http: Http, models: Seen) -> bool:
    """mlx-lm's server is Python's http.server, names no owner of its models, and has a health check."""
    plain = models.headers.get("Server", "").startswith("BaseHTTP")
    if not plain or any("owned_by" in row for row in models.rows("data")):
        return False
    return (await http.look("GET", "/health")).dig("status") in ("ok", "unavailable")


class Rescan:
    """Keeps a host's backends in step with what listens on this machine."""

    def __init__(self, host: Host, settings: AdapterSettings, ports: Sequence[int] = PORTS) -> None:
        self._host = host
        self._ports = ports
        static = (urlsplit(backend.url) for backend in settings.backends if backend.url)
        self._skip = {*settings.skip_ports, *(url.port for url in static if url.port)}
        self._misses: dict[str, int] = {}

    async def run(self, pause: float = RESCAN_SECONDS) -> None:
        while True:
            await self.once()
            await asyncio.sleep(pause)

    async def once(self) -> None:
        """One round. Only what was found here is dropped, once its own inspection has long called it unhealthy."""
        found = {config.name: config for config in await discover(self._ports, self._skip)}
        taken = {backend.config.name for backend in self._host.backends}
        for name in sorted(found.keys() - taken):
            log.info("backend found", backend=name, url=found[name].url)
            self._host.add(found[name])
            self._misses[name] = 0
        self._misses = {name: 0 if name in found else missed + 1 for name, missed in self._misses.items()}
        for name in [name for name, missed in self._misses.items() if missed >= MISSES_TO_DROP]:
            log.info("backend gone", backend=name)
            del self._misses[name]
            await self._host.drop(name)
