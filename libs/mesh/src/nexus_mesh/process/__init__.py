"""The life of a service: start, registration, renewal, end."""

from nexus_mesh.process import enrollment, mdns, run_file
from nexus_mesh.process.etcd_flags import EtcdPlaces, etcd_flags
from nexus_mesh.process.finding import Finder, Found
from nexus_mesh.process.healthcheck import CHECK, check
from nexus_mesh.process.mdns import own_addresses
from nexus_mesh.process.registration import StatusBoard
from nexus_mesh.process.service import Mesh, Servicer, run
from nexus_mesh.process.trust import follow_trust

__all__ = [
    "CHECK",
    "EtcdPlaces",
    "Finder",
    "Found",
    "Mesh",
    "Servicer",
    "StatusBoard",
    "check",
    "enrollment",
    "etcd_flags",
    "follow_trust",
    "mdns",
    "own_addresses",
    "run",
    "run_file",
]
