"""The router's snapshots: followed, kept in a file, and begun with."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from google.protobuf.message import DecodeError
from nexus.router.v1 import router_pb2, snapshot_pb2
from nexus_mesh.core import private_folder, telemetry, write_private
from nexus_mesh.rpc import Method, Peer

from nexus_gateway.fleet.routing_table import RoutingTable

__all__ = ["SnapshotFile", "follow_snapshots", "keep_saved", "start_from_saved"]

OLDEST = 3600.0


class SnapshotFile:
    """One file; its time of change says when the snapshot was last known to hold."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, snapshot: snapshot_pb2.Snapshot) -> None:
        """Writes so that a crash leaves the old snapshot or the new one. Raises OSError."""
        private_folder(self._path.parent)
        write_private(self._path, snapshot.SerializeToString())

    def load(self) -> tuple[snapshot_pb2.Snapshot, float] | None:
        """The saved snapshot and its age in seconds; None when there is none of the last hour that can be read."""
        try:
            age = time.time() - self._path.stat().st_mtime
            if age > OLDEST:
                return None
            return snapshot_pb2.Snapshot.FromString(self._path.read_bytes()), max(0.0, age)
        except (OSError, DecodeError):
            return None


WATCH = Method(
    "nexus.router.v1.RouterService",
    "WatchSnapshot",
    router_pb2.WatchSnapshotRequest,
    router_pb2.WatchSnapshotResponse,
)
ROUTER_GRACE = 1.0
SAVE_EVERY = 3.0
CONFIRM_EVERY = 60.0

log = telemetry.logger("snapshot")


async def follow_snapshots(router: Peer, table: RoutingTable) -> None:
    """Replaces the table with every snapshot, for ever. While the router is away the last one stays."""
    watch = router.follow(WATCH, router_pb2.WatchSnapshotRequest, on_state=table.set_connected)
    async for push in watch:
        table.replace(push.snapshot)


async def start_from_saved(table: RoutingTable, file: SnapshotFile, grace: float = ROUTER_GRACE) -> None:
    """Gives the router `grace` seconds to speak first, then takes the saved snapshot if there is a fresh one."""
    await asyncio.sleep(grace)
    if table.snapshot is not None:
        return
    saved = await asyncio.to_thread(file.load)
    if saved is not None and table.snapshot is None:
        snapshot, age = saved
        log.warning(
            "router not heard, starting from the saved snapshot", version=snapshot.version, age=round(age)
        )
        table.replace(snapshot, saved=True, age=age)


async def keep_saved(table: RoutingTable, file: SnapshotFile, every: float = SAVE_EVERY) -> None:
    """Saves each new snapshot of a router, at most one every few seconds, and now and then confirms the last."""
    written, waited = None, 0.0
    while True:
        snapshot = table.snapshot
        due = snapshot is not written or (table.connected and waited >= CONFIRM_EVERY)
        if snapshot is not None and not table.saved and due:
            try:
                await asyncio.to_thread(file.save, snapshot)
            except OSError as error:
                log.warning("snapshot not saved", detail=error.strerror)
            written, waited = snapshot, 0.0
        await asyncio.sleep(every)
        waited += every
