"""Which devices this process keeps ledgers of, which backends are on which, and how one is described."""

from __future__ import annotations

import importlib
import ipaddress
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.types.v1 import memory_pb2
from nexus_mesh.core import telemetry

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import GIB, AdapterSettings
from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.types import Device, Hold, State

__all__ = ["describe", "device_of", "devices_of"]

GPU_HEADROOM = GIB
"""Kept free on a card nobody said anything about, for what else is on it."""
# One offset for the life of the process: the same moment is always told as the same time.
EPOCH = time.time() - time.monotonic()
STATES = {
    State.LOADING: memory_pb2.RESERVATION_STATE_LOADING,
    State.READY: memory_pb2.RESERVATION_STATE_IDLE,
    State.UNLOADING: memory_pb2.RESERVATION_STATE_UNLOADING,
}

log = telemetry.logger("memory")


def devices_of(settings: AdapterSettings) -> list[Device]:
    """What the settings name; else the machine's one card, if NVIDIA's library can be asked."""
    if settings.devices:
        return [
            Device(one.name, round(one.memory_gb * GIB), round(one.headroom_gb * GIB), one.backends)
            for one in settings.devices
        ]
    cards = _cards()
    if len(cards) > 1:
        log.info("several cards and no [[devices]]: their memory is not managed", cards=len(cards))
    return cards if len(cards) == 1 and not settings.has_several_zones else []


def device_of(config: BackendConfig, devices: Sequence[Device]) -> Device | None:
    """The device a backend's models are in; None = nobody manages it."""
    named = next((device for device in devices if config.name in device.backends), None)
    if named is not None or not _is_here(config):
        return named
    return next((device for device in devices if not device.backends), None)


def _is_here(config: BackendConfig) -> bool:
    """Whether the engine runs on this machine."""
    host = urlsplit(config.url).hostname if config.url else "localhost"
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _cards() -> list[Device]:
    """NVIDIA's cards, by the package nvidia-ml-py where it is installed."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:
        return []  # no package, no driver, no card
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
        totals = [int(nvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles]
    except nvml.NVMLError as error:
        log.warning("the cards' memory is not told", detail=str(error))
        return []
    finally:
        nvml.nvmlShutdown()
    return [Device(f"gpu{number}", total, GPU_HEADROOM) for number, total in enumerate(totals)]


def describe(ledger: MemoryLedger, backends: Iterable[str]) -> memory_pb2.Device:
    """The device, and who has memory of it."""
    device = ledger.device
    return memory_pb2.Device(
        name=device.name,
        total_bytes=device.total,
        headroom_bytes=device.headroom,
        backends=sorted(backends),
        reservations=[_reservation(ledger, ledger.holds[key]) for key in sorted(ledger.holds)],
        waiting=len(ledger.claims),
    )


def _reservation(ledger: MemoryLedger, hold: Hold) -> memory_pb2.Reservation:
    told = memory_pb2.Reservation(
        backend=hold.key.backend,
        model=hold.key.model,
        size_bytes=hold.size,
        state=memory_pb2.RESERVATION_STATE_ACTIVE if hold.users else STATES[hold.state],
        state_time=_time(hold.since),
    )
    if (expected := ledger.expected(hold)) is not None:
        told.expect_time.CopyFrom(_time(expected))
    return told


def _time(moment: float) -> Timestamp:
    return Timestamp(seconds=round(EPOCH + moment))
