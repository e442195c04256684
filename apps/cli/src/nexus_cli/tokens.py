"""`nexus token create`: lets one machine join, once."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from nexus.vault.v1 import identity_pb2
from nexus_mesh.core import addresses
from nexus_mesh.identity import LABEL

from nexus_cli.bootstrap import CREATE_TOKEN
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure, advise, print_json

__all__ = ["Wanted", "create"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who may join, and what it may claim. `models`: patterns with commas between; empty = any."""

    node: str
    zone: str
    models: str
    priority_floor: int
    minutes: float

    def request(self) -> identity_pb2.CreateJoinTokenRequest:
        """Raises Failure when it is none that could be granted."""
        for what, value in (("--node", self.node), ("--zone", self.zone)):
            if not LABEL.fullmatch(value):
                raise Failure(f"{what} must be 1 to 63 of a-z, 0-9 and -.", f"Example: {what} studio-mac")
        patterns = [part.strip() for part in self.models.split(",") if part.strip()]
        return identity_pb2.CreateJoinTokenRequest(
            role="adapter",
            node=self.node,
            name="main",
            zone=self.zone,
            ttl=Duration(seconds=round(self.minutes * 60)),
            claims=identity_pb2.Claims(models=patterns, priority_floor=self.priority_floor),
        )


async def create(layout: Layout, wanted: Wanted, *, as_json: bool) -> None:
    """The token alone goes to standard output, so that a script can take it; what to do with it is said beside."""
    async with control(layout, "vault") as vault:
        made = await vault.unary(CREATE_TOKEN, wanted.request(), timeout=5.0)
    if as_json:
        print_json({"token": made.token, "expires": made.expire_time.ToJsonString()})
        return
    sys.stdout.write(made.token + "\n")
    sys.stdout.flush()
    advise(
        f"On {wanted.node}, within {wanted.minutes:g} minutes: `nexus join`, and paste the token when asked."
    )
    mesh = layout.read()
    if mesh is not None and addresses.is_loopback(addresses.split(mesh.control["join"])[0]):
        advise(
            "This mesh listens on loopback only, so no other machine can reach it: "
            "start it with `nexus up --listen ADDRESS`."
        )
