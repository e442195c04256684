"""Keeps rows of withdrawn identities out of the directory, wherever they come from, for as long as they are denied."""

from __future__ import annotations

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core import logger
from nexus_mesh.identity import Denials

from nexus_registry.directory import Directory

log = logger("registry")


class DeniedRows:
    """Stands between the store and the directory. Rows it withholds are handed on when their denial ends.

    What another registry keeps in the store is left there: it hears of the denial itself, and two that deleted and
    restored the same row would never come to an end.
    """

    def __init__(self, directory: Directory, denied: Denials) -> None:
        self._directory = directory
        self._denied = denied
        self._stored: dict[str, tuple[Instance, int]] = {}
        self._withheld: set[str] = set()
        denied.subscribe(self._changed)

    def stored(self, instance: Instance, revision: int) -> None:
        """The store has this row since `revision`."""
        self._stored[instance.id] = (instance, revision)
        if self._denied.has_server(instance.server_name):
            self._withhold(instance, revision)
        else:
            self._withheld.discard(instance.id)
            self._directory.stored(instance, revision)

    def unstored(self, instance_id: str, revision: int) -> None:
        """The store lost this row at `revision`."""
        self._stored.pop(instance_id, None)
        self._withheld.discard(instance_id)
        self._directory.unstored(instance_id, revision)

    def _withhold(self, instance: Instance, revision: int) -> None:
        if instance.id not in self._withheld:
            log.warning("row of a withdrawn identity left out", instance=instance.id)
        self._withheld.add(instance.id)
        self._directory.unstored(instance.id, revision)

    def _changed(self) -> None:
        for instance in self._directory.registered():
            if self._denied.has_server(instance.server_name):
                log.warning("registration of a withdrawn identity ended", instance=instance.id)
                self._directory.deregister(instance.id)
        for instance, revision in tuple(self._stored.values()):
            denied = self._denied.has_server(instance.server_name)
            if denied != (instance.id in self._withheld):
                self.stored(instance, revision)
