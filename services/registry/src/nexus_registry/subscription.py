"""What one watcher has not read yet: bounded, and only the newest state of each instance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core import MeshError, Reason

PENDING_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Change:
    """The newest state of one instance, as of `revision`; `instance` is None when it is gone."""

    revision: int
    id: str
    instance: Instance | None


class Subscription:
    """Filled by the table, drained by one reader. Overtaken changes of the same instance are left out."""

    def __init__(self, limit: int = PENDING_LIMIT) -> None:
        self._limit = limit
        self._pending: dict[str, Change] = {}
        self._ready = asyncio.Event()
        self._overrun = False

    def push(self, change: Change) -> None:
        if self._overrun:
            return
        # Taken out first: the order of a dict is that of insertion, and must be that of revisions.
        self._pending.pop(change.id, None)
        self._pending[change.id] = change
        if len(self._pending) > self._limit:
            self._overrun = True
            self._pending.clear()
        self._ready.set()

    async def drain(self) -> list[Change]:
        """All that is waiting, at least one, by revision. Raises REVISION_EXPIRED if too much waited."""
        await self._ready.wait()
        if self._overrun:
            raise MeshError(
                Reason.REVISION_EXPIRED,
                f"More than {self._limit} changes were left unread: start again without epoch and revision.",
            )
        self._ready.clear()
        changes = list(self._pending.values())
        self._pending.clear()
        return changes
