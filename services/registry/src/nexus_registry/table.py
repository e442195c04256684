"""The instances as they are now, each with the revision of its last change."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core import MeshError, Reason

from nexus_registry.subscription import PENDING_LIMIT, Change, Subscription

GRAVES = 4096


class Table:
    """Rows by id. A revision counts changes of this process only; `epoch` tells processes apart.

    Whoever knows the table at a revision can be told what changed since: rows carry their revision, and the
    last `graves` deletions are remembered.
    """

    def __init__(self, graves: int = GRAVES, pending_limit: int = PENDING_LIMIT) -> None:
        self.epoch = secrets.token_hex(8)
        self.revision = 0
        self._rows: dict[str, Change] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._graves = graves
        self._pending_limit = pending_limit
        self._subscriptions: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)

    def get(self, instance_id: str) -> Instance | None:
        row = self._rows.get(instance_id)
        return row.instance if row else None

    def instances(self) -> Iterator[Instance]:
        """Every instance, by id."""
        for instance_id in sorted(self._rows):
            instance = self._rows[instance_id].instance
            if instance is not None:
                yield instance

    def put(self, instance: Instance) -> None:
        """Adds or replaces a row. The table keeps the message: it must not be changed afterwards."""
        if self.get(instance.id) == instance:
            return
        self._deleted.pop(instance.id, None)
        self._rows[instance.id] = self._changed(instance.id, instance)

    def delete(self, instance_id: str) -> None:
        """Removes a row, if there is one."""
        if self._rows.pop(instance_id, None) is None:
            return
        self._deleted[instance_id] = self._changed(instance_id, None).revision
        if len(self._deleted) > self._graves:
            _, self._forgotten = self._deleted.popitem(last=False)

    def since(self, epoch: str, revision: int) -> list[Change]:
        """The newest state of all that changed after `revision`, in order. Raises REVISION_EXPIRED."""
        if epoch != self.epoch or not self._forgotten <= revision <= self.revision:
            raise MeshError(
                Reason.REVISION_EXPIRED,
                "The watch cannot go on from that revision: start again without epoch and revision.",
            )
        gone = [Change(at, id_, None) for id_, at in self._deleted.items() if at > revision]
        rows = [row for row in self._rows.values() if row.revision > revision]
        return sorted(gone + rows, key=lambda change: change.revision)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Every change from here on, as long as the block lasts."""
        subscription = Subscription(self._pending_limit)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def _changed(self, instance_id: str, instance: Instance | None) -> Change:
        self.revision += 1
        change = Change(self.revision, instance_id, instance)
        for subscription in self._subscriptions:
            subscription.push(change)
        return change
