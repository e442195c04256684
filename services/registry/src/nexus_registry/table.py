"""The rows of a kind as they are now, each with the revision of its last change, and what watchers are told of them."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeAlias

from nexus_mesh.core import MeshError, Reason

from nexus_registry.kind import Kind, Row

__all__ = ["Change", "Marker", "Step", "Subscription", "Table", "watch"]

GRAVES = 4096
PENDING_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Change(Generic[Row]):
    """The newest state of one row, as of `revision`; `row` is None when it is gone."""

    revision: int
    id: str
    row: Row | None


@dataclass(frozen=True, slots=True)
class Marker:
    """All rows there were at `revision` have been told. `stale_seconds`: how long etcd has not been heard of."""

    revision: int
    stale_seconds: int


Step: TypeAlias = Change[Row] | Marker


class Subscription(Generic[Row]):
    """Filled by the table, drained by one reader. Overtaken changes of the same row are left out."""

    def __init__(self, limit: int = PENDING_LIMIT) -> None:
        self._limit = limit
        self._pending: dict[str, Change[Row]] = {}
        self._ready = asyncio.Event()
        self._overrun = False

    def push(self, change: Change[Row]) -> None:
        if self._overrun:
            return
        # Taken out first: the order of a dict is that of insertion, and must be that of revisions.
        self._pending.pop(change.id, None)
        self._pending[change.id] = change
        if len(self._pending) > self._limit:
            self._overrun = True
            self._pending.clear()
        self._ready.set()

    async def drain(self) -> list[Change[Row]]:
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


class Table(Generic[Row]):
    """Rows by id. A revision counts changes of this process only; `epoch` tells processes apart.

    Whoever knows the table at a revision can be told what changed since: rows carry their revision, and the
    last `graves` deletions are remembered.
    """

    def __init__(self, kind: Kind[Row], graves: int = GRAVES, pending_limit: int = PENDING_LIMIT) -> None:
        self.kind = kind
        self.epoch = secrets.token_hex(8)
        self.revision = 0
        self._rows: dict[str, Change[Row]] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._graves = graves
        self._pending_limit = pending_limit
        self._subscriptions: set[Subscription[Row]] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)

    def get(self, row_id: str) -> Row | None:
        change = self._rows.get(row_id)
        return change.row if change else None

    def rows(self) -> Iterator[Row]:
        """Every row, by id."""
        for row_id in sorted(self._rows):
            row = self._rows[row_id].row
            if row is not None:
                yield row

    def put(self, row: Row) -> None:
        """Adds or replaces a row. The table keeps the message: it must not be changed afterwards."""
        row_id = self.kind.id_of(row)
        if self.get(row_id) == row:
            return
        self._deleted.pop(row_id, None)
        self._rows[row_id] = self._changed(row_id, row)

    def delete(self, row_id: str) -> None:
        """Removes a row, if there is one."""
        if self._rows.pop(row_id, None) is None:
            return
        self._deleted[row_id] = self._changed(row_id, None).revision
        if len(self._deleted) > self._graves:
            _, self._forgotten = self._deleted.popitem(last=False)

    def since(self, epoch: str, revision: int) -> list[Change[Row]]:
        """The newest state of all that changed after `revision`, in order. Raises REVISION_EXPIRED."""
        if epoch != self.epoch or not self._forgotten <= revision <= self.revision:
            raise MeshError(
                Reason.REVISION_EXPIRED,
                "The watch cannot go on from that revision: start again without epoch and revision.",
            )
        gone: list[Change[Row]] = [
            Change(at, id_, None) for id_, at in self._deleted.items() if at > revision
        ]
        rows = [row for row in self._rows.values() if row.revision > revision]
        return sorted(gone + rows, key=lambda change: change.revision)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[Row]]:
        """Every change from here on, as long as the block lasts."""
        subscription: Subscription[Row] = Subscription(self._pending_limit)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def _changed(self, row_id: str, row: Row | None) -> Change[Row]:
        self.revision += 1
        change = Change(self.revision, row_id, row)
        for subscription in self._subscriptions:
            subscription.push(change)
        return change


async def watch(
    table: Table[Row], epoch: str, revision: int, stale_seconds: Callable[[], int]
) -> AsyncIterator[Step[Row]]:
    """A snapshot and its marker, or what was missed since a point to resume from; then every change. Endless.

    Raises REVISION_EXPIRED when that point is out of reach, or when the reader falls too far behind.
    """
    with table.subscribe() as subscription:
        if epoch and revision > 0:
            for change in table.since(epoch, revision):
                yield change
        else:
            at, rows = table.revision, list(table.rows())
            for row in rows:
                # Revision 0: a reader that is cut off in the middle of a snapshot must not resume from there.
                yield Change(0, table.kind.id_of(row), row)
            yield Marker(at, stale_seconds())
        while True:
            for change in await subscription.drain():
                yield change
