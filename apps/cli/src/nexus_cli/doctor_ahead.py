"""What `nexus doctor` sees coming: what works today, and will not, or could and does not."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from urllib.parse import urlsplit

from nexus_inference_adapters.discovery import PORTS, discover
from nexus_mesh.core import VERSION, ConfigError, MeshError, addresses
from nexus_mesh.settings import read_toml

from nexus_cli import keys, tokens
from nexus_cli.doctor_machine import Finding
from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure

__all__ = ["clocks", "engines", "expiring_keys", "join_tokens", "reach", "versions"]

SOON = datetime.timedelta(days=7)
TOKEN_SOON = datetime.timedelta(minutes=5)
APART_SECONDS = 5
"""Of two clocks. A registration that took its time makes less of a difference."""


async def engines(layout: Layout, ports: Sequence[int] = PORTS) -> list[Finding]:
    """Engines that run on this machine, at one of the ports, and are not served."""
    try:
        served = {one.name for each in await listed(layout, "adapter") for one in each.status.backends}
    except (MeshError, Failure):
        return []  # that nothing answers is told elsewhere
    written = _written(layout)
    return [
        Finding(
            f"engine {one.name}",
            True,
            f"{one.url} answers and is not served",
            "Serve it: start `nexus up` without --no-discovery, or name it in [[backends]] of nexus.toml.",
        )
        for one in await discover(ports)
        if one.name not in served and urlsplit(one.url).port not in written
    ]


def _written(layout: Layout) -> set[int | None]:
    """The ports of the backends in nexus.toml."""
    file = layout.home / "nexus.toml"
    try:
        entries = read_toml(file).get("backends", []) if file.exists() else []
        return {urlsplit(str(entry.get("url", ""))).port for entry in entries}
    except (ConfigError, ValueError, AttributeError):
        return set()  # the settings are checked elsewhere


async def versions(layout: Layout) -> list[Finding]:
    """Members of another version than this command."""
    try:
        others = {one.id: one.version for one in await listed(layout) if one.version != VERSION}
    except (MeshError, Failure):
        return []
    advice = "Bring every machine to one version, then `nexus restart` there."
    return [
        Finding(f"version {name}", True, f"{version}; this command is {VERSION}", advice)
        for name, version in sorted(others.items())
    ] or [Finding("versions", True, f"all {VERSION}")]


async def clocks(layout: Layout) -> list[Finding]:
    """Machines whose clock was far from the registry's when they registered."""
    try:
        rows = [one for one in await listed(layout) if one.HasField("clock_time")]
    except (MeshError, Failure):
        return []
    ahead = {one.node: one.clock_time.seconds - one.register_time.seconds for one in rows}
    advice = "Certificates, keys and tokens end by the clock: have every machine keep time by NTP."
    return [
        Finding(
            f"clock of {node}", True, f"{abs(by)} s {'ahead' if by > 0 else 'behind'} the registry's", advice
        )
        for node, by in sorted(ahead.items())
        if abs(by) > APART_SECONDS
    ] or [Finding("clocks", True, f"within {APART_SECONDS} s of each other")]


async def reach(layout: Layout) -> list[Finding]:
    """Whether other machines find a door."""
    mesh = layout.read()
    host = urlsplit(mesh.http).hostname if mesh is not None and mesh.http else None
    vault = (
        urlsplit(f"//{mesh.control['vault']}").hostname
        if mesh is not None and "vault" in mesh.control
        else None
    )
    if not host or not vault:
        return []
    if addresses.is_loopback(vault):
        return [Finding("reach", True, "this machine only")]
    return [Finding("reach", True, f"other machines reach the mesh at {vault}")]


async def expiring_keys(layout: Layout) -> list[Finding]:
    """Keys that end within a week."""
    try:
        rows = await keys.every(layout)
    except (MeshError, Failure):
        return []
    now = datetime.datetime.now(datetime.UTC)
    ending = {
        str(row["name"]): row["expires"]
        for row in rows
        if row["expires"]
        and not row["revoked"]
        and now < datetime.datetime.fromisoformat(row["expires"]) < now + SOON
    }
    advice = "Make another one before: nexus keys create NAME"
    return [Finding(f"key {name}", True, f"ends {when}", advice) for name, when in ending.items()]


async def join_tokens(layout: Layout) -> list[Finding]:
    """Tokens that nobody has joined by yet, and when each ends."""
    try:
        unused = await tokens.unused(layout)
    except (MeshError, Failure):
        return []
    now = datetime.datetime.now(datetime.UTC)
    found = []
    for token in unused:
        left = max(token.expire_time.ToDatetime(datetime.UTC) - now, datetime.timedelta(0))
        near = left < TOKEN_SOON
        advice = "Use it until then, or make another one: nexus token create" if near else ""
        who = token.spiffe_id.partition("/node/")[2]
        found.append(
            Finding(f"join token {who}", True, f"not used yet, ends in {_minutes(left)} min", advice)
        )
    return found


def _minutes(left: datetime.timedelta) -> int:
    return int(left.total_seconds() // 60)
