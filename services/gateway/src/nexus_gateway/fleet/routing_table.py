"""The table the gateway decides by: the last snapshot it got, for as long as need be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core import telemetry
from nexus_mesh.identity import Denials
from nexus_mesh.rows import RowGuard
from nexus_routing import Table, Target, read_policy, read_target

__all__ = ["RoutingTable"]

log = telemetry.logger("routing")


class RoutingTable:
    """`snapshot` is None until the first one came; `saved` tells that it came from the disk, not from a router.

    Targets that do not follow from an identity of `trust_domain`, or whose identity is withdrawn, are as if they
    were not there.
    """

    def __init__(self, trust_domain: str, denied: Denials | None = None) -> None:
        self._guard = RowGuard(trust_domain, "router")
        self._denied = Denials() if denied is None else denied  # an empty one is false
        self._denied.subscribe(self._sift_again)
        self._told: snapshot_pb2.Snapshot | None = None
        self.table = Table()
        self.snapshot: snapshot_pb2.Snapshot | None = None
        self.saved = False
        self.connected = False
        self._heard = time.monotonic()
        self._known: dict[bytes, Target] = {}
        self._listeners: list[Callable[[Table], None]] = []

    def subscribe(self, listener: Callable[[Table], None]) -> None:
        """Calls back with every new table."""
        self._listeners.append(listener)

    def replace(self, snapshot: snapshot_pb2.Snapshot, *, saved: bool = False, age: float = 0.0) -> None:
        """Makes the snapshot the one to decide by. `age`: seconds since a router last stood by it."""
        self._told = snapshot
        # Of a thousand targets few change between two snapshots: those that did not are not read again.
        admitted = [(raw, target) for raw, target in _by_bytes(snapshot) if self._admits(raw, target)]
        if len(admitted) < len(snapshot.targets):
            snapshot = _with_targets(snapshot, [target for _, target in admitted])
        known = {raw: self._known.get(raw) or read_target(target) for raw, target in admitted}
        self.table = Table(known.values(), read_policy(snapshot))
        self._known, self.snapshot, self.saved = known, snapshot, saved
        self._heard = time.monotonic() - age
        log.debug("snapshot", version=snapshot.version, targets=len(known), saved=saved)
        for listener in self._listeners:
            listener(self.table)

    def _sift_again(self) -> None:
        """Who is denied has changed: what the router said last is looked at again."""
        if self._told is not None:
            self.replace(self._told, saved=self.saved, age=self.age())

    def _admits(self, raw: bytes, target: snapshot_pb2.Target) -> bool:
        """Whatever registry and router still say of a withdrawn identity, and of one that nobody can have."""
        if self._denied.has_server(target.server_name):
            log.warning("target of a withdrawn identity left out", target=target.id)
            return False
        return raw in self._known or self._guard.admits_target(target)

    def set_connected(self, connected: bool) -> None:
        """Whether the router's watch is open."""
        self.connected = connected
        self._heard = time.monotonic()

    def age(self) -> float:
        """Seconds since the router was last heard; 0 while its watch is open."""
        return 0.0 if self.connected else time.monotonic() - self._heard


def _with_targets(
    snapshot: snapshot_pb2.Snapshot, targets: Iterable[snapshot_pb2.Target]
) -> snapshot_pb2.Snapshot:
    kept = snapshot_pb2.Snapshot(targets=targets)
    rest = snapshot_pb2.Snapshot()
    rest.CopyFrom(snapshot)
    del rest.targets[:]
    kept.MergeFrom(rest)
    return kept


def _by_bytes(snapshot: snapshot_pb2.Snapshot) -> list[tuple[bytes, snapshot_pb2.Target]]:
    return [(target.SerializeToString(), target) for target in snapshot.targets]
