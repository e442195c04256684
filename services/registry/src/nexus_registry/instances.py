"""Small questions about an instance, and how it is spelled in the store."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from nexus.registry.v1.instance_pb2 import Instance

PREFIX = b"/nexus/v1/instances/"


def key_of(instance_id: str) -> bytes:
    return PREFIX + instance_id.encode()


def id_of(key: bytes) -> str:
    """The instance a key under PREFIX belongs to; bytes that are no text are replaced and match nothing."""
    return key.removeprefix(PREFIX).decode(errors="replace")


def decode(key: bytes, value: bytes) -> Instance | None:
    """The instance stored under a key; None if the value is not one, or not this key's."""
    try:
        instance = Instance.FromString(value)
    except DecodeError:
        return None
    return instance if instance.id == id_of(key) else None


def with_connected(instance: Instance, connected: bool) -> Instance:
    """A copy; instances in the table are never changed in place, because watchers still hold them."""
    copy = Instance()
    copy.CopyFrom(instance)
    copy.connected = connected
    return copy


def health(instance: Instance) -> tuple[Any, ...]:
    """What others must learn of without delay; everything else (load, models) may wait a little."""
    backends = tuple((backend.name, backend.state) for backend in instance.status.backends)
    return instance.connected, instance.address, instance.status.state, backends


def same_registration(one: Instance, other: Instance) -> bool:
    """Whether two rows of one id come from the same Register call."""
    return one.register_time == other.register_time


def newer(one: Instance, other: Instance) -> bool:
    """Whether `one` registered after `other` did (by the clocks of the registries they did it at)."""
    return one.register_time.ToNanoseconds() > other.register_time.ToNanoseconds()
