"""What `nexus doctor` sees coming: what works today, and will not, or could and does not."""

from __future__ import annotations

import datetime
import importlib.metadata
import ipaddress
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nexus_inference_adapters.discovery import discover
from nexus_mesh.core import VERSION, ConfigError, MeshError
from nexus_mesh.settings import read_toml

from nexus_cli import keys
from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure

__all__ = [
    "Finding",
    "command",
    "engines",
    "expiring_keys",
    "foreign_packages",
    "packages",
    "reach",
    "versions",
]

SOON = datetime.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` is empty when all is well; of what is `ok` it is a word about what may come."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


async def engines(layout: Layout) -> list[Finding]:
    """Engines that run on this machine and are not served."""
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
        for one in await discover()
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
    if ipaddress.ip_address(vault).is_loopback:
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


async def command(_: Layout) -> list[Finding]:
    """Whether `nexus` in a shell is this one."""
    own, found = Path(sysconfig.get_path("scripts")) / "nexus", shutil.which("nexus")
    if found is None:
        return [Finding("command", True, f"{own} is not on the PATH", f"Put {own.parent} there.")]
    if own.exists() and Path(found).resolve() != own.resolve():
        return [
            Finding(
                "command", True, f"`nexus` in a shell is {found}, and this is {own}", "Remove one of them."
            )
        ]
    return [Finding("command", True, found)]


async def packages(_: Layout) -> list[Finding]:
    """Foreign packages under the names of our modules: they would be imported in our place."""
    foreign = foreign_packages(importlib.metadata.packages_distributions(), sys.modules)
    advice = "Remove it: it runs with the mesh's keys. Then install NEXUS again as README.md says."
    return [
        Finding(f"package {name}", False, f"has files under our name {module}", advice)
        for module, name in foreign
    ] or [Finding("packages", True, "none under our names")]


def foreign_packages(owners: Mapping[str, Iterable[str]], modules: Iterable[str]) -> list[tuple[str, str]]:
    """(module, distribution) of those that are not of our version, among all that have files in a module of ours."""
    ours = sorted({name.partition(".")[0] for name in modules if name.startswith("nexus_")})
    return [
        (module, name)
        for module in ours
        for name in sorted(set(owners.get(module, ())))
        if importlib.metadata.version(name).partition("+")[0] != VERSION
    ]
