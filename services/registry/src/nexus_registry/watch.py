"""The steps of a Watch: a snapshot and its marker, or what was missed, and then every change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from nexus.registry.v1.registry_pb2 import Synced, WatchResponse

from nexus_registry.subscription import Change
from nexus_registry.table import Table


async def watch(
    table: Table, epoch: str, revision: int, stale_seconds: Callable[[], int]
) -> AsyncIterator[WatchResponse]:
    """Endless. Starts with a snapshot unless `epoch` and `revision` name a point to resume from.

    Raises REVISION_EXPIRED when that point is out of reach, or when the reader falls too far behind.
    """
    with table.subscribe() as subscription:
        if epoch and revision > 0:
            for change in table.since(epoch, revision):
                yield _step(table.epoch, change)
        else:
            at, instances = table.revision, list(table.instances())
            for instance in instances:
                # Revision 0: a reader that is cut off in the middle of a snapshot must not resume from there.
                yield WatchResponse(epoch=table.epoch, put=instance)
            marker = Synced(stale_seconds=stale_seconds())
            yield WatchResponse(epoch=table.epoch, revision=at, synced=marker)
        while True:
            for change in await subscription.drain():
                yield _step(table.epoch, change)


def _step(epoch: str, change: Change) -> WatchResponse:
    if change.instance is None:
        return WatchResponse(epoch=epoch, revision=change.revision, delete=change.id)
    return WatchResponse(epoch=epoch, revision=change.revision, put=change.instance)
