"""What `nexus config` does with files: begins one, checks one, tells what holds."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import tomli_w
from nexus_mesh.core import ConfigError, write_private

from nexus_cli import reference
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console, print_json
from nexus_cli.plan import Options, Plan
from nexus_cli.settings import check_settings, read_settings
from nexus_cli.unit import UnitSpec

__all__ = ["check", "init", "show"]

SECRET = re.compile(r"(key|token|secret|password)$")
"""Names of settings whose values are not shown; the names of variables and files that hold them are."""
HIDDEN = "***"


def init(layout: Layout, *, force: bool, as_json: bool) -> None:
    """Raises Failure when there is a file already."""
    file = layout.home / "nexus.toml"
    if file.exists() and not force:
        raise Failure(f"{file} is there already.", "Check it with `nexus config check`, or give --force.")
    layout.prepare()
    write_private(file, reference.beginning().encode())
    write_private(layout.home / "nexus.schema.json", json.dumps(reference.schema(), indent=1).encode())
    if as_json:
        print_json({"file": str(file)})
    else:
        console.print(f"{file} is written. Every line in it is a comment: change what you need.")


def check(layout: Layout, config: Path | None, *, as_json: bool) -> None:
    """Raises ConfigError with every problem."""
    plan = _plan(layout, config)
    check_settings(plan)
    file = plan.options.config_path
    if as_json:
        print_json({"file": str(file) if file else None, "holds": True})
    else:
        console.print(
            f"{file} holds." if file else f"There is no nexus.toml in {layout.home}: defaults hold."
        )


def show(layout: Layout, config: Path | None, *, as_json: bool) -> None:
    """Raises ConfigError when they do not hold."""
    plan = _plan(layout, config)
    check_settings(plan)
    told = {
        spec.name: _plain(read_settings(spec).model_dump(mode="json", exclude=_chosen(spec)))
        for spec in plan.services()
    }
    if as_json:
        print_json(told)
    else:
        sys.stdout.write(tomli_w.dumps(told))


def _plan(layout: Layout, config: Path | None) -> Plan:
    """Of a mesh that need not be there: where its services listen is not what is asked."""
    if config is not None and not config.exists():
        raise ConfigError([f"{config}: there is no such file"])
    ports = dict.fromkeys(("http", "join", "etcd", "etcd-peer"), 1)
    control = dict.fromkeys(("registry", "router", "vault", "gateway", "join"), "127.0.0.1:1")
    mesh = layout.read() or MeshFile("node")
    mesh.ports, mesh.control = ports | mesh.ports, control | mesh.control
    return Plan(Options(layout.home, config), layout, mesh)


def _chosen(spec: UnitSpec) -> set[str]:
    """What `nexus up` tells a service itself: ports, addresses, folders."""
    return {word.removeprefix("--").replace("-", "_") for word in spec.command if word.startswith("--")}


def _plain(value: Any) -> Any:
    """As TOML can have it: without what is unset, and without secrets."""
    if isinstance(value, dict):
        return {
            str(name): HIDDEN if SECRET.search(str(name)) and isinstance(inner, str) else _plain(inner)
            for name, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [_plain(inner) for inner in value if inner is not None]
    return value
