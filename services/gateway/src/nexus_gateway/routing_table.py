"""The table the gateway decides by: the last snapshot it got, for as long as need be."""

from __future__ import annotations

import time
from collections.abc import Callable

from nexus.router.v1 import snapshot_pb2
from nexus_mesh import telemetry
from nexus_routing import Table, Target, read_policy, read_target

__all__ = ["RoutingTable"]

log = telemetry.logger("routing")


class RoutingTable:
    """`snapshot` is None until the first one came; `saved` tells that it came from the disk, not from a router."""

    def __init__(self) -> None:
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
        # Of a thousand targets few change between two snapshots: those that did not are not read again.
        known = {raw: self._known.get(raw) or read_target(target) for raw, target in _by_bytes(snapshot)}
        self.table = Table(known.values(), read_policy(snapshot))
        self._known, self.snapshot, self.saved = known, snapshot, saved
        self._heard = time.monotonic() - age
        log.debug("snapshot", version=snapshot.version, targets=len(known), saved=saved)
        for listener in self._listeners:
            listener(self.table)

    def set_connected(self, connected: bool) -> None:
        """Whether the router's watch is open."""
        self.connected = connected
        self._heard = time.monotonic()

    def age(self) -> float:
        """Seconds since the router was last heard; 0 while its watch is open."""
        return 0.0 if self.connected else time.monotonic() - self._heard


def _by_bytes(snapshot: snapshot_pb2.Snapshot) -> list[tuple[bytes, snapshot_pb2.Target]]:
    return [(target.SerializeToString(), target) for target in snapshot.targets]
