"""Which processes make a mesh on this machine, and with which flags."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus_mesh.core import addresses
from nexus_mesh.identity import ROLE_TABLE
from nexus_mesh.settings import line_of, near, path_of, read_toml

from nexus_cli import etcd
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.unit import UnitSpec

__all__ = [
    "Options",
    "Plan",
    "misnamed_tables",
    "misshapen_tables",
    "own_variables",
    "zones_of",
]

SERVICE_TABLES = frozenset(name for name, role in ROLE_TABLE.items() if role.module)
KNOWN_TABLES = SERVICE_TABLES.union(*(role.tables for role in ROLE_TABLE.values()))
DEFAULT_ZONE = "default"
CONFIG_VARIABLE = "NEXUS_CONFIG"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked `nexus up` for."""

    home: Path
    config: Path | None = None
    port: int | None = None
    listen: str = "127.0.0.1"
    model: Path | None = None
    discovery: bool = True
    log_level: str = "info"
    name: str | None = None
    advertise: str | None = None
    speech: bool = True
    painter: bool = True
    ocr: bool = True

    @property
    def config_path(self) -> Path | None:
        usual = self.home / "nexus.toml"
        return self.config or (usual if usual.exists() else None)


def zones_of(config: Path | None) -> list[str]:
    """The privacy zones the static backends live in, the default one first. Raises ConfigError on a bad file."""
    found = {str(entry.get("zone", DEFAULT_ZONE)) for entry in _backends(config)}
    return [DEFAULT_ZONE, *sorted(found - {DEFAULT_ZONE})]


def key_variables(config: Path | None) -> tuple[tuple[str, str], ...]:
    """The variables that hold keys of backends: adapters get these of our environment, and nobody else does."""
    names = {str(entry["api_key_env"]) for entry in _backends(config) if "api_key_env" in entry}
    return tuple((name, os.environ[name]) for name in sorted(names) if name in os.environ)


def fetching_variables() -> tuple[tuple[str, str], ...]:
    """What the user has told pip, uv and the hub's tools: adapters fetch models by it, and nobody else gets it."""
    from nexus_inference_adapters.store import (
        VARIABLES,
    )  # an HTTP client, which only who starts adapters pays

    return tuple((name, os.environ[name]) for name in VARIABLES if name in os.environ)


def own_variables(role: str) -> tuple[tuple[str, str], ...]:
    """The variables that are settings of a service: it gets these of our environment, and no other service's."""
    prefix = f"NEXUS_{role.upper()}_"
    return tuple((name, os.environ[name]) for name in sorted(os.environ) if name.startswith(prefix))


def misnamed_tables(config: Path | None) -> list[str]:
    """What is wrong with the names of the file's tables. Raises ConfigError when it cannot be read."""
    unknown = [name for name in _document(config) if name not in KNOWN_TABLES]
    known = ", ".join(sorted(KNOWN_TABLES))
    return [
        f"{path_of(name)}: is not a known table{near(name, KNOWN_TABLES) or f'; known are {known}'}{_at(config, name)}"
        for name in unknown
    ]


def _at(config: Path | None, *path: str) -> str:
    number = line_of(config.read_text("utf-8-sig"), path) if config else None
    return f" ({config.name}, line {number})" if config and number else ""


def misshapen_tables(config: Path | None) -> list[str]:
    """What else is in the place of a service's table. Raises ConfigError when the file cannot be read."""
    return [
        f"{config}: {name} must be a table, [{name}]"
        for name, value in _document(config).items()
        if name in SERVICE_TABLES and not isinstance(value, dict)
    ]


def _backends(config: Path | None) -> list[dict[str, Any]]:
    """Its adapter says what is wrong with an entry that is none."""
    entries = _document(config).get("backends", [])
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _is_served(config: Path | None, name: str) -> bool:
    """Whether what comes with NEXUS, "speech", "painter" or "ocr", is served: unless the file says no."""
    own = _document(config).get("adapter")
    return not isinstance(own, dict) or own.get(name) is not False


def _document(config: Path | None) -> dict[str, Any]:
    return {} if config is None else read_toml(config)


class Plan:
    """Makes the unit specs of one mesh."""

    def __init__(self, options: Options, layout: Layout, mesh: MeshFile) -> None:
        self.options = options
        self.layout = layout
        self.mesh = mesh

    def services(self) -> list[UnitSpec]:
        """Every process of ours."""
        return [self.vault(), self.registry(), self.router(), *self.store(), *self.adapters(), self.gateway()]

    def variables(self) -> list[str]:
        """The names of what this start has taken from the environment, for any process."""
        handed = {name for spec in self.services() for name, _ in spec.environment}
        return sorted(handed | ({CONFIG_VARIABLE} & os.environ.keys()))

    def vault(self) -> UnitSpec:
        return self._service(
            "vault",
            *("--join-port", str(self.mesh.ports["join"])),
            *("--operator-dir", str(self.layout.operator)),
            *("--join-address", self.mesh.control["join"]),
        )

    def etcd(self) -> UnitSpec:
        folder, ports = self.layout.home / "etcd", self.mesh.ports
        where = (folder / "data", folder / "certificates", ports["etcd"], ports["etcd-peer"])
        line = etcd.command(*where, self.mesh.trust_domain)
        return UnitSpec("etcd", line, self.layout.log("etcd"), stop_seconds=10)

    def registry(self) -> UnitSpec:
        endpoint = addresses.join(addresses.loopback(), self.mesh.ports["etcd"])
        return self._service("registry", "--etcd-endpoints", json.dumps([endpoint]))

    def router(self) -> UnitSpec:
        return self._service("router")

    def store(self) -> list[UnitSpec]:
        """None unless the file has a table for it: a mesh that keeps no files does not pay for the process."""
        return [self._service("store")] if "store" in _document(self.options.config_path) else []

    def gateway(self) -> UnitSpec:
        http = ("--http-host", self.options.listen, "--http-port", str(self.mesh.ports["http"]))
        return self._service("gateway", *http)

    def adapters(self) -> list[UnitSpec]:
        """One process for each zone: the zone is in its certificate."""
        specs = []
        for zone in zones_of(self.options.config_path):
            flags = ["--zone", zone, "--named-zone-only", str(zone != DEFAULT_ZONE).lower()]
            if zone == DEFAULT_ZONE:
                flags += ["--demo", "true", "--discovery", str(self.options.discovery).lower()]
                for name in ("speech", "painter", "ocr"):
                    wanted = getattr(self.options, name)
                    served = wanted and _is_served(self.options.config_path, name)
                    flags += [f"--{name}", str(served).lower()]
                if self.options.model is not None:
                    flags += ["--model", str(self.options.model)]
                if self.options.name is not None:
                    flags += ["--model-name", self.options.name]
            name = "main" if zone == DEFAULT_ZONE else zone
            spec = self._service("adapter", *flags, name=name)
            environment = (*spec.environment, *fetching_variables(), *key_variables(self.options.config_path))
            specs.append(dataclasses.replace(spec, environment=environment))
        return specs

    def _service(self, role: str, *flags: str, name: str = "main") -> UnitSpec:
        unit = role if name == "main" else f"{role}-{name}"
        control = [
            part
            for peer in ("registry", "router", "vault")
            for part in (f"--{peer}", self.mesh.control[peer])
        ]
        port = self.mesh.ports.get(unit, 0)
        common = ["--home", str(self.layout.home), "--node", self.mesh.node, "--name", name, *control]
        listen = ["--host", self.options.listen, "--port", str(port), "--log-level", self.options.log_level]
        if self.options.config_path is not None:
            listen += ["--config", str(self.options.config_path)]
        if self.layout.token(unit).exists():
            listen += ["--join-token-file", str(self.layout.token(unit))]
        command = [sys.executable, "-m", ROLE_TABLE[role].module, *common, *listen, *flags]
        return UnitSpec(unit, command, self.layout.log(unit), own_variables(role))
