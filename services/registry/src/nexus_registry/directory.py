"""Who is where: what is registered here, joined with what the store knows, in one table.

An instance that is registered here is described by its registration alone; the store's row of it counts only
when another registry wrote it and our connection to the instance was lost.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from nexus.registry.v1.instance_pb2 import Instance, Status
from nexus_mesh.core import MeshError, Reason, logger

from nexus_registry.instances import newer, same_registration, with_connected
from nexus_registry.registration import Beat, Registration
from nexus_registry.table import Table

GHOSTS = 4096

log = logger("registry")


class Keeper(Protocol):
    """Writes the rows of this registry to the store, in the background."""

    def keep(self, instance: Instance, /) -> None:
        """The row is new or changed."""
        ...

    def restore(self, instance: Instance, revision: int, /) -> None:
        """At this store revision somebody deleted or overwrote the row; write it again if ours is older."""
        ...

    def drop(self, instance_id: str, /) -> None:
        """The row is not ours any more; take what we wrote away."""
        ...

    def erase(self, instance_id: str, /) -> None:
        """Remove a row that another registry, or this one in an earlier life, wrote."""
        ...


class Directory:
    """`lifetime` is how many seconds an instance is shown after its keep-alive broke.

    `reserved` are addresses (host:port) that belong to something outside the mesh, such as the store.
    """

    def __init__(
        self, table: Table[Instance], keeper: Keeper, lifetime: float, reserved: frozenset[str] = frozenset()
    ) -> None:
        self._table = table
        self._keeper = keeper
        self._lifetime = lifetime
        self._reserved = reserved
        self._local: dict[str, Registration] = {}
        self._stored: dict[str, Instance] = {}
        # Rows we removed and the store may still show for a while: the last registration of each id.
        self._ghosts: OrderedDict[str, Instance] = OrderedDict()

    # What services do.

    def register(self, instance: Instance) -> Instance:
        """Takes the instance in, in place of an earlier registration, and returns its row.

        Raises INVALID_REQUEST if its address is known to be somebody else's.
        """
        self._check_address(instance)
        # Its stream follows in a moment; calling it lost until then would shake everybody who watches.
        instance = with_connected(instance, True)
        registration = self._local.get(instance.id)
        if registration is None:
            registration = Registration(instance, self._lifetime, self._expire)
            self._local[instance.id] = registration
        elif registration.streaming and registration.instance.address != instance.address:
            log.warning(
                "registered at another address beside the one it is connected from: did it move, or is it copied?",
                instance=instance.id,
                before=registration.instance.address,
                now=instance.address,
                advice="if it is copied: nexus identities deny ID, then join that machine again under another name",
            )
            registration.disown()
        self._show(registration, instance)
        registration.arm()
        return instance

    def attach(self, instance_id: str) -> Beat:
        """A keep-alive stream was opened. Raises OBJECT_NOT_FOUND unless the instance is registered here."""
        registration = self._registration(instance_id)
        beat = registration.open()
        self._show(registration, with_connected(registration.instance, True))
        return beat

    def beat(self, instance_id: str, beat: Beat, status: Status | None) -> int:
        """A sign of life, perhaps with a new status; returns the table's revision that holds it.

        Raises OBJECT_NOT_FOUND if the instance was deregistered meanwhile, or registered at another address.
        """
        registration = self._registration(instance_id)
        if not registration.holds(beat):
            raise _unregistered()
        if status is not None:
            instance = with_connected(registration.instance, True)
            instance.status.CopyFrom(status)
            self._show(registration, instance)
        return self._table.revision

    def detach(self, instance_id: str, beat: Beat) -> None:
        """A keep-alive stream is over; with the last one the instance is shown as not connected."""
        registration = self._local.get(instance_id)
        if registration is None or not registration.holds(beat):
            return
        registration.close(beat)
        if registration.streaming:
            return
        stored = self._stored.get(instance_id)
        if stored is not None and newer(stored, registration.instance):
            self._move_away(stored)
        else:
            self._show(registration, with_connected(registration.instance, False))

    def deregister(self, instance_id: str) -> None:
        """The instance leaves; it need not be there."""
        if instance_id in self._local:
            self._remove(instance_id)
        elif (stored := self._stored.pop(instance_id, None)) is not None:
            self._bury(stored)
            self._keeper.erase(instance_id)

    def registered(self) -> list[Instance]:
        """The instances that registered here."""
        return [registration.instance for registration in self._local.values()]

    def close(self) -> None:
        """Stop all timers; the rows stay in the store until their leases end."""
        for registration in self._local.values():
            registration.disarm()

    # What the store says.

    def stored(self, instance: Instance, revision: int) -> None:
        """The store has this row since `revision`."""
        ghost = self._ghosts.get(instance.id)
        if ghost is not None and same_registration(ghost, instance):
            return
        self._ghosts.pop(instance.id, None)
        self._stored[instance.id] = instance
        registration = self._local.get(instance.id)
        if registration is None:
            self._table.put(instance)
        elif newer(registration.instance, instance):
            self._keeper.restore(registration.instance, revision)
        elif newer(instance, registration.instance) and not registration.instance.connected:
            self._move_away(instance)

    def unstored(self, instance_id: str, revision: int) -> None:
        """The store lost this row at `revision`."""
        self._ghosts.pop(instance_id, None)
        self._stored.pop(instance_id, None)
        registration = self._local.get(instance_id)
        if registration is None:
            self._table.delete(instance_id)
        else:
            self._keeper.restore(registration.instance, revision)

    # Steps of both.

    def _registration(self, instance_id: str) -> Registration:
        registration = self._local.get(instance_id)
        if registration is None:
            raise _unregistered()
        return registration

    def _show(self, registration: Registration, instance: Instance) -> None:
        registration.instance = instance
        self._table.put(instance)
        self._keeper.keep(instance)

    def _expire(self, instance_id: str) -> None:
        self._remove(instance_id)

    def _remove(self, instance_id: str) -> None:
        registration = self._local.pop(instance_id)
        registration.disarm()
        self._stored.pop(instance_id, None)
        self._bury(registration.instance)
        self._keeper.drop(instance_id)

    def _bury(self, instance: Instance) -> None:
        self._ghosts[instance.id] = instance
        if len(self._ghosts) > GHOSTS:
            self._ghosts.popitem(last=False)
        self._table.delete(instance.id)

    def _move_away(self, instance: Instance) -> None:
        """Another registry took the instance over after we lost it."""
        self._local.pop(instance.id).disarm()
        self._keeper.drop(instance.id)
        self._table.put(instance)

    def _check_address(self, instance: Instance) -> None:
        taken = {row.instance.address: row.instance.id for row in self._local.values() if row.streaming}
        owner = taken.get(instance.address, instance.id)
        if owner != instance.id or instance.address in self._reserved:
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"{instance.address} belongs to another process: a service registers the port it listens on.",
                metadata={"param": "port"},
            )


def _unregistered() -> MeshError:
    return MeshError(
        Reason.OBJECT_NOT_FOUND, "The caller is not registered at this registry: call Register first."
    )
