"""What is known of the targets: the table, who can be reached, who fails, how quick and how full they are."""

from nexus_gateway.fleet.acquaintance import Acquaintance
from nexus_gateway.fleet.breaker import GONE_PAUSE, JITTER
from nexus_gateway.fleet.breakers import Breakers
from nexus_gateway.fleet.bulkheads import Bulkheads, ModelQueue
from nexus_gateway.fleet.latencies import Kind, Measure
from nexus_gateway.fleet.methods import COMPLETE, COMPLETE_ALONE, COUNT, STREAM
from nexus_gateway.fleet.models import ModelRow, find_model, list_models
from nexus_gateway.fleet.outcomes import TRANSPORT, says_upstream
from nexus_gateway.fleet.peers import Peers, connecting
from nexus_gateway.fleet.reachability import Reachability
from nexus_gateway.fleet.readiness import Readiness, readiness
from nexus_gateway.fleet.retries import RETRYABLE, RetryBudget
from nexus_gateway.fleet.routing_table import RoutingTable
from nexus_gateway.fleet.snapshot_file import SnapshotFile
from nexus_gateway.fleet.snapshot_watch import follow_snapshots, keep_saved, start_from_saved
from nexus_gateway.fleet.traffic import Ride, Traffic

__all__ = [
    "COMPLETE",
    "COMPLETE_ALONE",
    "COUNT",
    "GONE_PAUSE",
    "JITTER",
    "RETRYABLE",
    "STREAM",
    "TRANSPORT",
    "Acquaintance",
    "Breakers",
    "Bulkheads",
    "Kind",
    "Measure",
    "ModelQueue",
    "ModelRow",
    "Peers",
    "Reachability",
    "Readiness",
    "RetryBudget",
    "Ride",
    "RoutingTable",
    "SnapshotFile",
    "Traffic",
    "connecting",
    "find_model",
    "follow_snapshots",
    "keep_saved",
    "list_models",
    "readiness",
    "says_upstream",
    "start_from_saved",
]
