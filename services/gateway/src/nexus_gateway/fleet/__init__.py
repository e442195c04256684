"""What is known of the targets: the table, who can be reached, who fails, how quick and how full they are."""

from nexus_gateway.fleet.breaker import FAILURES, GONE_PAUSE, JITTER
from nexus_gateway.fleet.breakers import Breakers
from nexus_gateway.fleet.bulkheads import Bulkheads, ModelQueue
from nexus_gateway.fleet.connections import CONNECTED, Acquaintance, Peers, Reachability, connecting
from nexus_gateway.fleet.latencies import Kind, Measure
from nexus_gateway.fleet.outcomes import TRANSPORT, is_final
from nexus_gateway.fleet.readiness import ModelRow, Readiness, find_model, list_models, readiness
from nexus_gateway.fleet.routing_table import RoutingTable
from nexus_gateway.fleet.snapshots import SnapshotFile, follow_snapshots, keep_saved, start_from_saved
from nexus_gateway.fleet.traffic import Attempt, Traffic

__all__ = [
    "CONNECTED",
    "FAILURES",
    "GONE_PAUSE",
    "JITTER",
    "TRANSPORT",
    "Acquaintance",
    "Attempt",
    "Breakers",
    "Bulkheads",
    "Kind",
    "Measure",
    "ModelQueue",
    "ModelRow",
    "Peers",
    "Reachability",
    "Readiness",
    "RoutingTable",
    "SnapshotFile",
    "Traffic",
    "connecting",
    "find_model",
    "follow_snapshots",
    "is_final",
    "keep_saved",
    "list_models",
    "readiness",
    "start_from_saved",
]
