"""Where a running service can be found on this machine: <home>/run/<role>-<name>.json, there while it serves."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from nexus_mesh.core import addresses, private_folder, write_private
from nexus_mesh.identity import SpiffeId
from nexus_mesh.settings import ServiceSettings

__all__ = ["RunFile", "read_all", "write"]


@dataclass(frozen=True, slots=True)
class RunFile:
    """One running process. `metrics_port` is None when it serves no metrics."""

    role: str
    name: str
    pid: int
    address: str
    server_name: str
    identity: str
    metrics_port: int | None


def write(home: Path, role: str, settings: ServiceSettings, port: int, metrics_port: int | None) -> Path:
    """Describes this process; the file's path, to be removed at the end."""
    folder = home / "run"
    private_folder(folder)
    spiffe = SpiffeId(settings.trust_domain, settings.zone, settings.node, role, settings.name)
    identity = str(home / "identities" / f"{role}-{settings.name}")
    address = addresses.join(addresses.local(settings.host), port)
    entry = RunFile(role, settings.name, os.getpid(), address, spiffe.server_name, identity, metrics_port)
    path = folder / f"{role}-{settings.name}.json"
    write_private(path, json.dumps(asdict(entry)).encode())
    return path


def read_all(home: Path) -> list[RunFile]:
    """Every process described, by role and name; files that cannot be read are passed over."""
    found: list[RunFile] = []
    for path in sorted((home / "run").glob("*-*.json")):
        try:
            found.append(RunFile(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):
            continue
    return found
