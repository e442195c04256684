"""What an HTTP server is, by what it says: never by its port, its name, or what was announced of it."""

from __future__ import annotations

import asyncio
import ipaddress

import aiohttp
from nexus_mesh.core import MeshError, addresses

from nexus_inference_adapters.config import BackendConfig
from nexus_inference_adapters.dialects import DIALECTS, Listing
from nexus_inference_adapters.http import Http, Seen
from nexus_inference_adapters.ollama.catalog import is_ollama

__all__ = ["LOOPBACK", "probe"]

LOOPBACK = "127.0.0.1"
PROBE_SECONDS = 0.9
PROBE_BYTES = 1024 * 1024
UNKNOWN = "other"
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
    if await is_ollama(http):
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
