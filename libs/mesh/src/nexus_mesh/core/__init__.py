"""What everything stands on: errors, files, logs, waiting."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nexus_mesh.core import addresses, files
from nexus_mesh.core.addresses import WILDCARDS, is_loopback, loopback
from nexus_mesh.core.allocator import give_large_blocks_back, give_small_blocks_back
from nexus_mesh.core.backoff import Backoff
from nexus_mesh.core.errors import UNREACHED, ConfigError, MeshError, Reason
from nexus_mesh.core.exclusive import exclusive
from nexus_mesh.core.files import (
    create_private,
    default_home,
    guard_process,
    private_folder,
    remove_parts,
    write_private,
)
from nexus_mesh.core.json import JsonArray, JsonObject
from nexus_mesh.core.turns import Turns, at_once
from nexus_mesh.core.version import VERSION

if TYPE_CHECKING:
    from nexus_mesh.core import telemetry
    from nexus_mesh.core.telemetry import logger, new_request_id, set_request_id

__all__ = [
    "UNREACHED",
    "VERSION",
    "WILDCARDS",
    "Backoff",
    "ConfigError",
    "JsonArray",
    "JsonObject",
    "MeshError",
    "Reason",
    "Turns",
    "addresses",
    "at_once",
    "create_private",
    "default_home",
    "exclusive",
    "files",
    "give_large_blocks_back",
    "give_small_blocks_back",
    "guard_process",
    "is_loopback",
    "logger",
    "loopback",
    "new_request_id",
    "private_folder",
    "remove_parts",
    "set_request_id",
    "telemetry",
    "write_private",
]

LATE = frozenset({"logger", "new_request_id", "set_request_id"})
"""Of telemetry: a service needs it, and a command that is over in 0.2 s must not wait for what it stands on."""


def __getattr__(name: str) -> object:
    if name == "telemetry":
        return import_module("nexus_mesh.core.telemetry")
    if name in LATE:
        found: object = getattr(import_module("nexus_mesh.core.telemetry"), name)
        return found
    raise AttributeError(name)
