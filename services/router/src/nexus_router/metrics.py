"""What the router counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REGISTRY_CONNECTED = Gauge("nexus_router_registry_connected_bool", "Whether the registry's watch is open.")
TARGETS = Gauge("nexus_router_targets_count", "Targets of the newest snapshot.", ["usable"])
SNAPSHOTS = Counter("nexus_router_snapshots_total", "Snapshots published.")
POLICY_REVISION = Gauge("nexus_router_policy_revision_number", "The policy's revision; 0 = nexus.toml.")
WATCHERS = Gauge("nexus_router_watchers_count", "Open snapshot watches.")
