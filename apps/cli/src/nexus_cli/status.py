"""`nexus status` and `top`: every process of the mesh, here and elsewhere, and what the backends have to do."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2

from nexus_cli.instances import STATES, listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal, print_json, print_rows

__all__ = ["status", "top", "watch"]

GIB = 2**30
WATCH_SECONDS = 2.0
RESERVATIONS = {
    number: name.removeprefix("RESERVATION_STATE_").lower()
    for name, number in memory_pb2.ReservationState.items()
}


async def watch(layout: Layout, show: Callable[[Layout], Awaitable[None]]) -> None:
    """Shows it again and again, in place of what stood there on a terminal, until Ctrl-C."""
    while True:
        if on_terminal():
            console.clear()
        await show(layout)
        await asyncio.sleep(WATCH_SECONDS)


async def status(layout: Layout, *, as_json: bool) -> None:
    mesh = layout.read()
    if mesh is None:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`.")
    instances = await listed(layout)
    rows = [_row(instance) for instance in instances]
    devices = [_device(instance.id, device) for instance in instances for device in instance.status.devices]
    if as_json:
        print_json({"endpoint": f"{mesh.http}/v1", "instances": rows, "devices": devices})
        return
    console.print(f"Endpoint  {mesh.http}/v1\n")
    cells = [[row["id"], row["address"], row["zone"], row["state"], row["detail"]] for row in rows]
    print_rows(
        ["INSTANCE", "ADDRESS", "ZONE", "STATE", "BACKENDS"], cells, empty="Nothing has registered yet."
    )
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['id']}: {note}", markup=False, soft_wrap=True)
    if devices:
        console.print()
        cells = [[one["instance"], one["device"], one["memory"], one["detail"]] for one in devices]
        print_rows(["INSTANCE", "DEVICE", "MEMORY", "MODELS"], cells, empty="")


async def top(layout: Layout, *, as_json: bool) -> None:
    """What every backend has to do, and how much memory its models hold."""
    rows = sorted(
        (
            _work(instance, backend)
            for instance in await listed(layout, "adapter")
            for backend in instance.status.backends
        ),
        key=lambda row: (-row["running"], -row["waiting"], row["backend"]),
    )
    if as_json:
        print_json(rows)
        return
    cells = [
        [
            row["backend"],
            row["instance"],
            row["state"],
            f"{row['running']}/{row['places'] or '?'}",
            row["waiting"],
            _gb(row),
        ]
        for row in rows
    ]
    print_rows(
        ["BACKEND", "INSTANCE", "STATE", "RUNNING", "WAITING", "MEMORY"],
        cells,
        empty="No backends yet: nexus doctor",
    )


def _work(instance: instance_pb2.Instance, backend: instance_pb2.Backend) -> dict[str, Any]:
    held = [
        one
        for device in instance.status.devices
        for one in device.reservations
        if one.backend == backend.name
    ]
    return {
        "backend": backend.name,
        "instance": instance.id,
        "state": STATES[backend.state] if instance.connected else "lost",
        "running": backend.load.active,
        "waiting": backend.load.queued,
        "places": backend.load.capacity or None,
        "memory_bytes": sum(one.size_bytes for one in held) or None,
    }


def _running(row: dict[str, Any]) -> str:
    return f"{row['running']} of {row['places']}" if row["places"] else str(row["running"])


def _gb(row: dict[str, Any]) -> str:
    return f"{row['memory_bytes'] / GIB:.1f} GB" if row["memory_bytes"] else "-"


def _row(instance: instance_pb2.Instance) -> dict[str, Any]:
    backends = [
        {
            "name": backend.name,
            "kind": backend.kind,
            "state": STATES[backend.state],
            "reason": backend.state_reason,
            "models": [model.id for model in backend.models],
        }
        for backend in instance.status.backends
    ]
    return {
        "id": instance.id,
        "role": instance.role,
        "zone": instance.zone,
        "address": instance.address,
        "version": instance.version,
        "state": STATES[instance.status.state] if instance.connected else "lost",
        "backends": backends,
        "left_out": list(instance.status.left_out),
        "notes": [
            *(f"{one.name}: {one.state_reason}" for one in instance.status.backends if one.state_reason),
            *(f"left out: {note}" for note in instance.status.left_out),
        ],
        "detail": ", ".join(f"{backend['name']} ({backend['state']})" for backend in backends),
    }


def _device(instance: str, device: memory_pb2.Device) -> dict[str, object]:
    """A device whose memory is managed, and who has how much of it."""
    models = [
        {
            "backend": held.backend,
            "model": held.model,
            "bytes": held.size_bytes,
            "state": RESERVATIONS[held.state],
            "since": _time(held, "state_time"),
            "expected": _time(held, "expect_time"),
        }
        for held in device.reservations
    ]
    reserved = sum(held.size_bytes for held in device.reservations)
    return {
        "instance": instance,
        "device": device.name,
        "total_bytes": device.total_bytes,
        "headroom_bytes": device.headroom_bytes,
        "waiting": device.waiting,
        "models": models,
        "memory": f"{reserved / GIB:.1f} of {(device.total_bytes - device.headroom_bytes) / GIB:.1f} GB",
        "detail": ", ".join(
            f"{held.model} ({RESERVATIONS[held.state]}, {held.size_bytes / GIB:.1f} GB)"
            for held in device.reservations
        ),
    }


def _time(held: memory_pb2.Reservation, field: str) -> str | None:
    moment = getattr(held, field)
    return moment.ToDatetime(datetime.UTC).isoformat(timespec="seconds") if held.HasField(field) else None
