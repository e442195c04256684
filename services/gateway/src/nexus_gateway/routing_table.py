"""The table the gateway decides by: the last snapshot it got, for as long as need be."""

from __future__ import annotations

import time
from collections.abc import Callable

from nexus.router.v1 import snapshot_pb2
from nexus_mesh import telemetry
from nexus_mesh.denials import Denials
from nexus_routing import Table, Target, read_policy, read_target

__all__ = ["RoutingTable"]

log = telemetry.logger("routing")


class RoutingTable:
    """`snapshot` is None until the first one came; `saved` tells that it came from the disk, not from a router."""

    def __init__(self, denied: Denials | None = None) -> None:
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
        snapshot = self._sifted(snapshot)
        # Of a thousand targets few change between two snapshots: those that did not are not read again.
        known = {raw: self._known.get(raw) or read_target(target) for raw, target in _by_bytes(snapshot)}
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

    def _sifted(self, snapshot: snapshot_pb2.Snapshot) -> snapshot_pb2.Snapshot:
        """The snapshot without targets whose identity was withdrawn, whatever registry and router still say."""
        gone = [target.id for target in snapshot.targets if self._denied.has_server(target.server_name)]
        if not gone:
            return snapshot
        log.warning("targets of withdrawn identities left out", targets=gone)
        left = snapshot_pb2.Snapshot()
        left.CopyFrom(snapshot)
        del left.targets[:]
        left.targets.extend(target for target in snapshot.targets if target.id not in gone)
        return left

    def set_connected(self, connected: bool) -> None:
        """Whether the router's watch is open."""
        self.connected = connected
        self._heard = time.monotonic()

    def age(self) -> float:
        """Seconds since the router was last heard; 0 while its watch is open."""
        return 0.0 if self.connected else time.monotonic() - self._heard


def _by_bytes(snapshot: snapshot_pb2.Snapshot) -> list[tuple[bytes, snapshot_pb2.Target]]:
    return [(target.SerializeToString(), target) for target in snapshot.targets]
