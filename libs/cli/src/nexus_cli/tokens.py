"""`nexus token create`: lets one machine join, once."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from nexus.vault.v1 import identity_pb2
from nexus_mesh.spiffe import LABEL

from nexus_cli.bootstrap import CREATE_TOKEN
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure, console, print_json

__all__ = ["create"]


async def create(layout: Layout, node: str, zone: str, minutes: float, *, as_json: bool) -> None:
    for what, value in (("--node", node), ("--zone", zone)):
        if not LABEL.fullmatch(value):
            raise Failure(f"{what} must be 1 to 63 of a-z, 0-9 and -.", f"Example: {what} studio-mac")
    request = identity_pb2.CreateJoinTokenRequest(
        role="adapter", node=node, name="main", zone=zone, ttl=Duration(seconds=round(minutes * 60))
    )
    async with control(layout, "vault") as vault:
        made = await vault.unary(CREATE_TOKEN, request, timeout=5.0)
    if as_json:
        print_json({"token": made.token, "expires": made.expire_time.ToJsonString()})
        return
    console.print(made.token)
    console.print(f"\nOn {node}, within {minutes:g} minutes:  nexus join TOKEN", style="dim")
    mesh = layout.read()
    if mesh is not None and mesh.control.get("join", "").startswith("127."):
        console.print(
            "This mesh listens on loopback only, so no other machine can reach it: "
            "start it with `nexus up --listen ADDRESS`.",
            style="yellow",
        )
