"""`nexus status`: every process of the mesh, here and elsewhere."""

from __future__ import annotations

from nexus.registry.v1 import instance_pb2

from nexus_cli.instances import STATES, listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, print_json, print_rows

__all__ = ["status"]


async def status(layout: Layout, *, as_json: bool) -> None:
    mesh = layout.read()
    if mesh is None:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`.")
    rows = [_row(instance) for instance in await listed(layout)]
    if as_json:
        print_json({"endpoint": f"{mesh.http}/v1", "instances": rows})
        return
    console.print(f"Endpoint  {mesh.http}/v1\n", markup=False)
    cells = [[row["id"], row["address"], row["zone"], row["state"], row["detail"]] for row in rows]
    print_rows(
        ["INSTANCE", "ADDRESS", "ZONE", "STATE", "BACKENDS"], cells, empty="Nothing has registered yet."
    )


def _row(instance: instance_pb2.Instance) -> dict[str, object]:
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
        "detail": ", ".join(f"{backend['name']} ({backend['state']})" for backend in backends),
    }
