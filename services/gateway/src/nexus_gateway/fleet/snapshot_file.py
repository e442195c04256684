"""The last snapshot on disk, so that a gateway can start while the router is away."""

from __future__ import annotations

import time
from pathlib import Path

from google.protobuf.message import DecodeError
from nexus.router.v1 import snapshot_pb2
from nexus_mesh.core import private_folder, write_private

__all__ = ["SnapshotFile"]

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
