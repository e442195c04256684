"""Instances: what kind of row they are, small questions about one, and how a watch of them is spelled."""

from __future__ import annotations

from nexus.registry.v1.instance_pb2 import Instance
from nexus.registry.v1.registry_pb2 import Synced, WatchResponse

from nexus_registry.kind import Kind
from nexus_registry.table import Marker, Step

__all__ = ["INSTANCES", "message", "newer", "same_registration", "with_connected"]


def _urgent(instance: Instance) -> object:
    """Everything but load and models."""
    backends = tuple((backend.name, backend.state) for backend in instance.status.backends)
    return instance.connected, instance.address, instance.status.state, backends


INSTANCES = Kind(
    name="instance",
    message=Instance,
    prefix=b"/nexus/v1/instances/",
    id_of=lambda instance: instance.id,
    urgent=_urgent,
    # The row of one we lost is written only over our own last write: another registry may have it by now.
    owned=lambda instance: instance.connected,
)


def message(epoch: str, step: Step[Instance]) -> WatchResponse:
    """A step of a watch."""
    if isinstance(step, Marker):
        marker = Synced(stale_seconds=step.stale_seconds)
        return WatchResponse(epoch=epoch, revision=step.revision, synced=marker)
    if step.row is None:
        return WatchResponse(epoch=epoch, revision=step.revision, delete=step.id)
    return WatchResponse(epoch=epoch, revision=step.revision, put=step.row)


def with_connected(instance: Instance, connected: bool) -> Instance:
    """A copy."""
    copy = Instance()
    copy.CopyFrom(instance)
    copy.connected = connected
    return copy


def same_registration(one: Instance, other: Instance) -> bool:
    """Whether two rows of one id come from the same Register call."""
    return one.register_time == other.register_time


def newer(one: Instance, other: Instance) -> bool:
    """Whether `one` registered after `other` did (by the clocks of the registries they did it at)."""
    return one.register_time.ToNanoseconds() > other.register_time.ToNanoseconds()
