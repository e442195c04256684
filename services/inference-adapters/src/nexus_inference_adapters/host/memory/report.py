"""A book as the registry and GetMemory tell it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.types.v1 import memory_pb2

from nexus_inference_adapters.host.memory.card import Card
from nexus_inference_adapters.host.memory.types import Hold, State

__all__ = ["described"]

# One offset for the life of the process: the same moment is always told as the same time.
EPOCH = time.time() - time.monotonic()
STATES = {
    State.LOADING: memory_pb2.RESERVATION_STATE_LOADING,
    State.READY: memory_pb2.RESERVATION_STATE_IDLE,
    State.UNLOADING: memory_pb2.RESERVATION_STATE_UNLOADING,
}


def described(card: Card, backends: Iterable[str]) -> memory_pb2.Device:
    """The device, and who has memory of it."""
    device = card.device
    return memory_pb2.Device(
        name=device.name,
        total_bytes=device.total,
        headroom_bytes=device.headroom,
        backends=sorted(backends),
        reservations=[_reservation(card, card.holds[key]) for key in sorted(card.holds)],
        waiting=len(card.claims),
    )


def _reservation(card: Card, hold: Hold) -> memory_pb2.Reservation:
    told = memory_pb2.Reservation(
        backend=hold.key.backend,
        model=hold.key.model,
        size_bytes=hold.size,
        state=memory_pb2.RESERVATION_STATE_ACTIVE if hold.users else STATES[hold.state],
        state_time=_time(hold.since),
    )
    if (expected := card.expected(hold)) is not None:
        told.expect_time.CopyFrom(_time(expected))
    return told


def _time(moment: float) -> Timestamp:
    return Timestamp(seconds=round(EPOCH + moment))
