"""`nexus token create`: lets one machine, or one program of a tenant, join, once."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from nexus.vault.v1 import identity_pb2
from nexus_mesh.core import addresses
from nexus_mesh.identity import LABEL
from nexus_mesh.rpc import Method

from nexus_cli.bootstrap import CREATE_TOKEN
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure, advise, print_json

__all__ = ["Wanted", "create", "unused"]

LIST = Method(
    "nexus.vault.v1.IdentityService",
    "ListJoinTokens",
    identity_pb2.ListJoinTokensRequest,
    identity_pb2.ListJoinTokensResponse,
)
FLOORS = {"adapter": 50, "client": 0}
"""Who may join by such a token, and the best priority number each may claim unless told otherwise."""
WHAT_NOW = {
    "adapter": "On {node}, within {minutes:g} minutes: `nexus join`, and paste the token when asked.",
    "client": "On {node}, within {minutes:g} minutes: give it to the program in a file (docs/client.md).",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who may join, and what it may claim. `models`: patterns with commas between; empty = any.

    `tenant`: whom a client's requests belong to; no other role has one. `priority_floor` None = what is usual.
    """

    role: str
    node: str
    name: str
    tenant: str
    zone: str
    models: str
    priority_floor: int | None
    minutes: float

    def request(self) -> identity_pb2.CreateJoinTokenRequest:
        """Raises Failure when it is none that could be granted."""
        named = [("--node", self.node), ("--name", self.name), ("--zone", self.zone)]
        for what, value in named + ([("--tenant", self.tenant)] if self.tenant else []):
            if not LABEL.fullmatch(value):
                raise Failure(f"{what} must be 1 to 63 of a-z, 0-9 and -.", f"Example: {what} studio-mac")
        floor = self._floor()
        patterns = [part.strip() for part in self.models.split(",") if part.strip()]
        return identity_pb2.CreateJoinTokenRequest(
            role=self.role,
            node=self.node,
            name=self.name,
            zone=self.zone,
            ttl=Duration(seconds=round(self.minutes * 60)),
            claims=identity_pb2.Claims(models=patterns, priority_floor=floor, tenant=self.tenant),
        )

    def _floor(self) -> int:
        """Raises Failure for what does not go together."""
        if self.role not in FLOORS:
            raise Failure(f"--role {self.role} cannot join by a token.", f"Use one of {', '.join(FLOORS)}.")
        if self.role == "client" and not self.tenant:
            raise Failure(
                "A client needs --tenant: its requests get that tenant's zone, share and limits.",
                "`nexus tenants list` shows all; `nexus tenants create NAME` makes one.",
            )
        if self.role == "client" and self.priority_floor is not None:
            raise Failure("A client offers no models, so it has no --priority-floor.", "Leave it out.")
        if self.role != "client" and self.tenant:
            raise Failure(
                f"Role {self.role} belongs to no tenant.", "Leave --tenant out, or use --role client."
            )
        return FLOORS[self.role] if self.priority_floor is None else self.priority_floor


async def create(layout: Layout, wanted: Wanted, *, as_json: bool) -> None:
    """The token alone goes to standard output, so that a script can take it; what to do with it is said beside."""
    async with control(layout, "vault") as vault:
        made = await vault.unary(CREATE_TOKEN, wanted.request(), timeout=5.0)
    if as_json:
        print_json({"token": made.token, "expires": made.expire_time.ToJsonString()})
        return
    sys.stdout.write(made.token + "\n")
    sys.stdout.flush()
    advise(WHAT_NOW[wanted.role].format(node=wanted.node, minutes=wanted.minutes))
    mesh = layout.read()
    if mesh is not None and addresses.is_loopback(addresses.split(mesh.control["join"])[0]):
        advise(
            "This mesh listens on loopback only, so no other machine can reach it: "
            "start it with `nexus up --listen ADDRESS`."
        )


async def unused(layout: Layout) -> list[identity_pb2.JoinToken]:
    """Those that somebody may still join by."""
    found: list[identity_pb2.JoinToken] = []
    token = ""
    async with control(layout, "vault") as vault:
        while True:
            page = await vault.unary(LIST, identity_pb2.ListJoinTokensRequest(page_token=token), timeout=5.0)
            found += page.join_tokens
            token = page.next_page_token
            if not token:
                return found
