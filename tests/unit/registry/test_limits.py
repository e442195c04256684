"""What the registry does not take, and how it says so."""

from __future__ import annotations

import pytest
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, Backend, Status
from nexus.types.v1.memory_pb2 import Device, Reservation
from nexus.types.v1.model_pb2 import Model
from nexus_mesh.errors import MeshError, Reason
from nexus_registry.limits import check_port, check_status, check_version


def status(*backends: Backend, **endpoints: str) -> Status:
    return Status(state=STATE_ACTIVE, backends=backends, endpoints=endpoints)


def backend(name: str = "box", **fields: object) -> Backend:
    return Backend(name=name, kind="ollama", state=STATE_ACTIVE, **fields)  # pyright: ignore[reportArgumentType]


def managing(*devices: Device) -> Status:
    return Status(state=STATE_ACTIVE, devices=devices)


GOOD = {
    "empty": status(),
    "full": status(
        backend(models=[Model(id="llama3.1:70b")], tier="standard", state_reason="läuft"),
        backend("other"),
        http="127.0.0.1:8080",
        grpc="[::1]:7400",
    ),
    "device": managing(Device(name="gpu0", reservations=[Reservation(backend="box", model="m")])),
    "many": status(*(backend(f"b{number}") for number in range(200))),
}
BAD = {
    "one MiB of reason": ("status", status(backend(state_reason="x" * (1 << 20)))),
    "backends": ("status.backends", status(*(backend(f"b{number}") for number in range(201)))),
    "models": ("status.backends.models", status(backend(models=[Model(id=str(n)) for n in range(2001)]))),
    "no name": ("status.backends.name", status(backend(""))),
    "separator": ("status.backends.name", status(backend("a#b"))),
    "twins": ("status.backends.name", status(backend("a"), backend("a"))),
    "line break": ("status.backends.state_reason", status(backend(state_reason="a\nb"))),
    "long tier": ("status.backends.tier", status(backend(tier="x" * 65))),
    "no model id": ("status.backends.models.id", status(backend(models=[Model()]))),
    "control character": ("status.backends.models.id", status(backend(models=[Model(id="a\x00")]))),
    "priority": ("status.backends.priority", status(backend(priority=1 << 31))),
    "devices": ("status.devices", managing(*(Device(name=f"gpu{number}") for number in range(33)))),
    "no device name": ("status.devices.name", managing(Device())),
    "reservations": ("status.devices", managing(Device(name="gpu0", reservations=[Reservation()] * 501))),
    "reserved model": (
        "status.devices.reservations.model",
        managing(Device(name="gpu0", reservations=[Reservation(model="a\n")])),
    ),
    "endpoint without port": ("status.endpoints", status(http="127.0.0.1")),
    "endpoint with path": ("status.endpoints", status(http="127.0.0.1:80/x")),
    "endpoint port": ("status.endpoints", status(http="127.0.0.1:65536")),
    "endpoints": ("status.endpoints", status(**{f"e{number}": "h:1" for number in range(33)})),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    check_status(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    param, refused = BAD[name]
    with pytest.raises(MeshError) as caught:
        check_status(refused)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata == {"param": param}
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("port", [0, 65536, 4_000_000_000])
def test_port(port: int) -> None:
    with pytest.raises(MeshError):
        check_port(port)


def test_version() -> None:
    check_version("0.1.0+build")
    for version in ("x" * 65, "1\n2"):
        with pytest.raises(MeshError):
            check_version(version)
