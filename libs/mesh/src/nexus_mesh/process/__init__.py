"""The life of a service: settings, start, registration, renewal, end."""

from nexus_mesh.process import enrollment, mdns, run_file
from nexus_mesh.process.config import (
    ServiceSettings,
    default_home,
    default_node,
    load,
    read_toml,
    service_config,
)
from nexus_mesh.process.etcd_flags import EtcdPlaces, etcd_flags
from nexus_mesh.process.healthcheck import CHECK, check
from nexus_mesh.process.mdns import own_addresses
from nexus_mesh.process.problems import near, path_of, sentences
from nexus_mesh.process.registration import StatusBoard
from nexus_mesh.process.service import Mesh, Servicer, run
from nexus_mesh.process.toml_places import line_of

__all__ = [
    "CHECK",
    "EtcdPlaces",
    "Mesh",
    "ServiceSettings",
    "Servicer",
    "StatusBoard",
    "check",
    "default_home",
    "default_node",
    "enrollment",
    "etcd_flags",
    "line_of",
    "load",
    "mdns",
    "near",
    "own_addresses",
    "path_of",
    "read_toml",
    "run",
    "run_file",
    "sentences",
    "service_config",
]
