"""A consumer of a watch that applies updates as a service would, and keeps what it was told."""

from __future__ import annotations

import asyncio
from types import TracebackType

from nexus_registry.etcd import Changes, EtcdClient, KeyValue, Put, Snapshot

Event = tuple[str, bytes, int]


class Recorder:
    """Watches `prefix` while it is entered. `view` is what the consumer believes to be under it."""

    def __init__(self, client: EtcdClient, prefix: bytes) -> None:
        self.states: list[bool] = []
        self.watch = client.watch_prefix(prefix, self.states.append)
        self.updates: list[Snapshot | Changes] = []
        self.view: dict[bytes, KeyValue] = {}

    async def __aenter__(self) -> Recorder:
        self._task = asyncio.create_task(self._consume())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.watch.close()
        await asyncio.wait_for(self._task, timeout=10)

    @property
    def revision(self) -> int:
        return self.updates[-1].revision if self.updates else 0

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def relists(self) -> list[Changes]:
        return [update for update in self.updates if isinstance(update, Changes) and update.relisted]

    @property
    def events(self) -> list[Event]:
        """The changes told so far, as (type, key, revision)."""
        changes = [c for update in self.updates if isinstance(update, Changes) for c in update.changes]
        return [
            ("PUT", c.item.key, c.item.mod_revision)
            if isinstance(c, Put)
            else ("DELETE", c.key, c.mod_revision)
            for c in changes
        ]

    async def _consume(self) -> None:
        async for update in self.watch:
            self.updates.append(update)
            if isinstance(update, Snapshot):
                self.view = {item.key: item for item in update.items}
                continue
            for change in update.changes:
                if isinstance(change, Put):
                    self.view[change.item.key] = change.item
                else:
                    self.view.pop(change.key, None)
