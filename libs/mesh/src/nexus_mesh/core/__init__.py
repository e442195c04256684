"""What everything stands on: errors, files, logs, waiting."""

from nexus_mesh.core import addresses, files, telemetry
from nexus_mesh.core.addresses import WILDCARDS, is_loopback, loopback
from nexus_mesh.core.allocator import give_large_blocks_back, give_small_blocks_back
from nexus_mesh.core.backoff import Backoff
from nexus_mesh.core.errors import UNREACHED, ConfigError, MeshError, Reason
from nexus_mesh.core.exclusive import exclusive
from nexus_mesh.core.files import create_private, guard_process, private_folder, remove_parts, write_private
from nexus_mesh.core.json import JsonArray, JsonObject
from nexus_mesh.core.telemetry import logger, new_request_id, set_request_id
from nexus_mesh.core.turns import Turns, at_once
from nexus_mesh.core.version import VERSION

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
