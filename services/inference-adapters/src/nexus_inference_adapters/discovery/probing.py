"""What an HTTP server is, by what it says: never by its port, its name, or what was announced of it."""

from __future__ import annotations

import asyncio
import ipaddress

import aiohttp
from nexus_mesh.core import MeshError, addresses

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Http, Seen
from nexus_inference_adapters.kinds import ADAPTERS

__all__ = ["LOOPBACK", "probe"]

LOOPBACK = "127.0.0.1"
PROBE_SECONDS = 0.9
PROBE_BYTES = 1024 * 1024
FOUND = 100
"""The priority of what was found: after everything that somebody named."""


async def probe(session: aiohttp.ClientSession, address: str, port: int) -> BackendConfig | None:
    """The engine at an IP address, as a backend; None when none we know answers there within a second."""
    url = f"http://{addresses.join(address, port)}"
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            http = Http(session, url, lambda: None, connect=PROBE_SECONDS, most=PROBE_BYTES)
            known = await _identify(http)
    except (MeshError, TimeoutError):
        return None
    if known is None:
        return None
    kind, label = known
    return BackendConfig(
        name=_name(label, address, port), kind=kind, url=url, priority=FOUND, origin="discovery"
    )


def _name(label: str, address: str, port: int) -> str:
    """Nothing in it is of the server's own choosing."""
    if ipaddress.ip_address(address).is_loopback:
        return f"{label}-{port}"
    return f"{label}-{address.replace(':', '-')}-{port}"


async def _identify(http: Http) -> tuple[str, str] | None:
    """(kind, label) of a server; None when it is none we know, or the mesh itself."""
    models = await http.look("GET", "/v1/models")
    if _is_nexus(models):
        return None
    for kind in ADAPTERS.values():
        if label := await kind.speaks(http, models):
            return kind.kind, label
    return None


def _is_nexus(seen: Seen) -> bool:
    """The gateway answers as OpenAI does, with headers no engine on this machine sends."""
    return any(name.lower().startswith(("x-nexus-", "openai-version")) for name in seen.headers)
