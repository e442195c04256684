"""What services can be told, where it stands, and what is wrong with it, in sentences."""

from nexus_mesh.settings import shared
from nexus_mesh.settings.problems import near, path_of, sentences
from nexus_mesh.settings.service import (
    ServiceSettings,
    default_node,
    load,
    read_toml,
    service_config,
)
from nexus_mesh.settings.shared import ModelSettings, Timeouts
from nexus_mesh.settings.toml_places import line_of

__all__ = [
    "ModelSettings",
    "ServiceSettings",
    "Timeouts",
    "default_node",
    "line_of",
    "load",
    "near",
    "path_of",
    "read_toml",
    "sentences",
    "service_config",
    "shared",
]
