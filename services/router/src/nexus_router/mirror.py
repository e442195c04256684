"""The registry's table as the router knows it: fed by a watch, kept while the registry is away."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from nexus.registry.v1.instance_pb2 import Instance
from nexus.registry.v1.registry_pb2 import WatchRequest, WatchResponse


class Effect(Enum):
    """How much a step of the watch changed."""

    NOTHING = auto()
    LOAD = auto()
    SHAPE = auto()


class Mirror:
    """Instances by id. `admits` tells which rows follow from an identity; the others are as if they were not there.

    A registry that has just restarted may not have heard of everybody yet, so absence from its first snapshot
    is believed only after `grace` seconds; a deletion it announces is believed at once.
    """

    def __init__(self, grace: float, admits: Callable[[Instance], bool]) -> None:
        self.instances: dict[str, Instance] = {}
        self.synced = False
        self._grace = grace
        self._admits = admits
        self._epoch = ""
        self._revision = 0
        self._incarnation = ""
        self._arriving: dict[str, Instance] | None = None
        self._doubted: dict[str, float] = {}

    def request(self) -> WatchRequest:
        """What to ask for on a new connection: the rest from where we are, or everything."""
        resuming = self.synced and bool(self._epoch)
        self._arriving = None if resuming else {}
        return WatchRequest(epoch=self._epoch, revision=self._revision) if resuming else WatchRequest()

    def restart(self) -> None:
        """The registry cannot resume: ask for everything next time."""
        self._epoch, self._revision = "", 0

    def apply(self, message: WatchResponse, now: float) -> Effect:
        """Takes in one message of the watch."""
        event = message.WhichOneof("event")
        if self._arriving is not None:
            if event == "put":
                if self._admits(message.put):
                    self._arriving[message.put.id] = message.put
                return Effect.NOTHING
            if event != "synced":
                return Effect.NOTHING
            return self._replace(message, self._arriving, now)
        self._epoch, self._revision = message.epoch, message.revision
        if event == "put":
            return self._put(message.put)
        if event == "delete":
            self._doubted.pop(message.delete, None)
            return Effect.SHAPE if self.instances.pop(message.delete, None) else Effect.NOTHING
        return Effect.NOTHING

    def expire(self, now: float) -> float | None:
        """Drops whom a new registry did not hear of in time; when to call again, if there are more."""
        for instance_id in [each for each, due in self._doubted.items() if due <= now]:
            del self._doubted[instance_id]
            del self.instances[instance_id]
        return min(self._doubted.values(), default=None)

    def _put(self, instance: Instance) -> Effect:
        if not self._admits(instance):
            return Effect.NOTHING
        known = self.instances.get(instance.id)
        self._doubted.pop(instance.id, None)
        self.instances[instance.id] = instance
        if known is None:
            return Effect.SHAPE
        if known == instance:
            return Effect.NOTHING
        return Effect.LOAD if _without_load(known) == _without_load(instance) else Effect.SHAPE

    def _replace(self, message: WatchResponse, arrived: dict[str, Instance], now: float) -> Effect:
        absent = self.instances.keys() - arrived.keys()
        due = now if message.epoch == self._incarnation else now + self._grace
        self._doubted = {instance_id: self._doubted.get(instance_id, due) for instance_id in absent}
        self._incarnation = message.epoch
        self.instances.update(arrived)
        self._arriving = None
        self._epoch, self._revision = message.epoch, message.revision
        self.synced = True
        return Effect.SHAPE


def _without_load(instance: Instance) -> Instance:
    copy = Instance()
    copy.CopyFrom(instance)
    del copy.status.devices[:]
    for device in instance.status.devices:
        copy.status.devices.add(name=device.name, backends=device.backends)
    for backend in copy.status.backends:
        backend.ClearField("load")
    return copy
