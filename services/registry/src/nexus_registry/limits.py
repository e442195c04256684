"""What a status may look like: one service must not fill everybody's memory or confuse their logs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nexus.registry.v1.instance_pb2 import Backend, Status
from nexus.types.v1.memory_pb2 import Device
from nexus_mesh.errors import MeshError, Reason

STATUS_BYTES = 256 << 10
BACKENDS = 200
MODELS = 2000
ENDPOINTS = 32
DEVICES = 32
RESERVATIONS = 500
VERSION_LENGTH = 64
PRIORITY = 1_000_000

# Longest text of each field, in characters.
LENGTHS = {"name": 128, "kind": 64, "state_reason": 1024, "tier": 64}
MODEL_LENGTHS = {"id": 256, "owner": 128}
RESERVATION_LENGTHS = {"backend": 128, "model": 256}

ENDPOINT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
ENDPOINT_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")


def check_port(port: int) -> None:
    """Raises INVALID_REQUEST unless it is a TCP port."""
    if not 0 < port < 65536:
        raise _invalid("port", "port must be 1 to 65535")


def check_version(version: str) -> None:
    """Raises INVALID_REQUEST for a text no version of ours would be."""
    if len(version) > VERSION_LENGTH or not version.isprintable():
        raise _invalid("version", f"version must be at most {VERSION_LENGTH} printable characters")


def check_status(status: Status) -> None:
    """Raises INVALID_REQUEST, naming the first field that is out of bounds."""
    for field, problem in _problems(status):
        raise _invalid(f"status.{field}" if field else "status", problem)


def _problems(status: Status) -> Iterator[tuple[str, str]]:
    if status.ByteSize() > STATUS_BYTES:
        yield "", f"the status is larger than {STATUS_BYTES >> 10} KiB"
    if len(status.backends) > BACKENDS:
        yield "backends", f"more than {BACKENDS} backends in one instance"
    if sum(len(backend.models) for backend in status.backends) > MODELS:
        yield "backends.models", f"more than {MODELS} models in one instance"
    names = [backend.name for backend in status.backends]
    if len(set(names)) < len(names):
        yield "backends.name", "two backends of one instance have the same name"
    for backend in status.backends:
        yield from _backend_problems(backend)
    if len(status.devices) > DEVICES:
        yield "devices", f"more than {DEVICES} devices in one instance"
    for device in status.devices:
        yield from _device_problems(device)
    yield from _endpoint_problems(status)


def _backend_problems(backend: Backend) -> Iterator[tuple[str, str]]:
    if not backend.name or "#" in backend.name:
        yield "backends.name", "a backend needs a name, without #"
    for field, longest in LENGTHS.items():
        yield from _text_problems(f"backends.{field}", getattr(backend, field), longest)
    if backend.priority > PRIORITY:
        yield "backends.priority", f"priority is above {PRIORITY}"
    for model in backend.models:
        if not model.id:
            yield "backends.models.id", "a model needs an id"
        for field, longest in MODEL_LENGTHS.items():
            yield from _text_problems(f"backends.models.{field}", getattr(model, field), longest)


def _device_problems(device: Device) -> Iterator[tuple[str, str]]:
    if not device.name:
        yield "devices.name", "a device needs a name"
    yield from _text_problems("devices.name", device.name, LENGTHS["name"])
    if len(device.backends) > BACKENDS or len(device.reservations) > RESERVATIONS:
        yield "devices", f"more than {BACKENDS} backends or {RESERVATIONS} reservations of one device"
    for backend in device.backends:
        yield from _text_problems("devices.backends", backend, LENGTHS["name"])
    for reservation in device.reservations:
        for field, longest in RESERVATION_LENGTHS.items():
            yield from _text_problems(f"devices.reservations.{field}", getattr(reservation, field), longest)


def _endpoint_problems(status: Status) -> Iterator[tuple[str, str]]:
    if len(status.endpoints) > ENDPOINTS:
        yield "endpoints", f"more than {ENDPOINTS} endpoints"
    for name, address in status.endpoints.items():
        match = ENDPOINT_ADDRESS.fullmatch(address)
        if not ENDPOINT_NAME.fullmatch(name) or not match or not 0 < int(match[1]) < 65536:
            yield "endpoints", "an endpoint is a lower-case name with a host:port"


def _text_problems(field: str, text: str, longest: int) -> Iterator[tuple[str, str]]:
    if len(text) > longest or not text.isprintable():
        yield field, f"{field.rpartition('.')[2]} must be at most {longest} printable characters"


def _invalid(field: str, problem: str) -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST,
        f"The registry did not take this registration: {problem}.",
        metadata={"param": field},
    )
