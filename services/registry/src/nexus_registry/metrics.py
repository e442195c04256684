"""What the registry counts."""

from __future__ import annotations

from collections.abc import Callable

from nexus.registry.v1.instance_pb2 import Instance
from prometheus_client import Counter, Gauge

from nexus_registry.table import Table

INSTANCES = Gauge("nexus_registry_instances_count", "Instances in the table.")
WATCHERS = Gauge("nexus_registry_watchers_count", "Open watches.")
STALE = Gauge("nexus_registry_stale_seconds", "Seconds since etcd was last heard of; 0 = in touch.")
WRITES = Counter("nexus_registry_etcd_writes_total", "Rows written to etcd.", ["outcome"])
LEASES_LOST = Counter("nexus_registry_etcd_leases_lost_total", "Leases that ended without being revoked.")


def observe(table: Table[Instance], stale_seconds: Callable[[], int]) -> None:
    """Read these whenever somebody looks."""
    INSTANCES.set_function(lambda: len(table))
    WATCHERS.set_function(lambda: table.watchers)
    STALE.set_function(stale_seconds)
