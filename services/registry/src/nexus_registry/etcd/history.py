"""What a watch knows: the keys it has seen and how far. Pure; turns responses into updates to emit."""

from __future__ import annotations

from nexus.etcd.v1 import kv_pb2, rpc_pb2

from nexus_registry.etcd.errors import EtcdError
from nexus_registry.etcd.model import Change, Changes, Delete, KeyValue, Origin, Put, RangeResult, Snapshot


class HistoryLostError(EtcdError):
    """The watch cannot go on from where it is; it has to list again."""

    retryable = True


class WatchEndedError(EtcdError):
    """The server ended the watch for a reason of its own; it can be resumed."""

    retryable = True


class History:
    """The consumer's view of the prefix, kept to be able to say what changed when history was lost."""

    def __init__(self) -> None:
        self.revision = 0
        self.listed = False
        self.trust_progress = False
        self._origin = Origin(0, 0)
        self._items: dict[bytes, KeyValue] = {}
        self._fragments: list[kv_pb2.Event] = []

    def replace(self, listing: RangeResult) -> Snapshot | Changes:
        """Move to a fresh listing: all of it the first time, the difference to what was known later."""
        before, first = self._items, self.revision == 0
        self._items = {item.key: item for item in listing.items}
        self._origin = listing.origin
        self.revision = listing.revision
        self.listed = True
        if first:
            return Snapshot(listing.revision, listing.items)
        return Changes(listing.revision, self._difference(before), relisted=True)

    def resume(self) -> int:
        """The revision to watch from. What a broken stream left unfinished is dropped: it will come again."""
        self._fragments.clear()
        return self.revision + 1

    def apply(self, response: rpc_pb2.WatchResponse) -> Changes | None:
        """The update in one response of the stream, if any. Raises HistoryLostError or WatchEndedError."""
        # Before everything else: the header of a canceled response has no revision.
        if response.canceled:
            self._end(response)
        if response.created:
            self._check_origin(response.header)
            return None
        if response.events:
            return self._events(response)
        if self.trust_progress and not self._fragments:
            self.revision = max(self.revision, response.header.revision)
        return None

    def _end(self, response: rpc_pb2.WatchResponse) -> None:
        if response.compact_revision:
            self.listed = False
            raise HistoryLostError(f"Revision {self.revision + 1} was compacted away.")
        raise WatchEndedError(f"etcd ended the watch: {response.cancel_reason or 'no reason given'}.")

    def _check_origin(self, header: rpc_pb2.ResponseHeader) -> None:
        # A member that merely lags behind looks the same; listing again is right for both.
        if header.revision < self.revision or not Origin.of(header).may_follow(self._origin):
            self.listed = False
            raise HistoryLostError("The cluster is older than what was seen, or another one.")
        self._origin = Origin.of(header)

    def _events(self, response: rpc_pb2.WatchResponse) -> Changes | None:
        self._fragments.extend(response.events)
        if response.fragment:
            return None
        changes = tuple(self._change(e) for e in self._fragments if e.kv.mod_revision > self.revision)
        self._fragments.clear()
        if not changes:
            return None
        self.revision = response.events[-1].kv.mod_revision
        return Changes(self.revision, changes)

    def _change(self, event: kv_pb2.Event) -> Change:
        if event.type == kv_pb2.Event.DELETE:
            self._items.pop(event.kv.key, None)
            return Delete(event.kv.key, event.kv.mod_revision)
        item = KeyValue.of(event.kv)
        self._items[item.key] = item
        return Put(item)

    def _difference(self, before: dict[bytes, KeyValue]) -> tuple[Change, ...]:
        gone = [Delete(key, self.revision) for key in before if key not in self._items]
        new = [item for item in self._items.values() if before.get(item.key) != item]
        return (*gone, *(Put(item) for item in sorted(new, key=lambda item: item.mod_revision)))
