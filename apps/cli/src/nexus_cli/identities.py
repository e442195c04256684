"""`nexus identities`: list, deny, allow."""

from __future__ import annotations

import datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.vault.v1 import identity_pb2
from nexus_mesh.rpc import Method, Peer

from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import console, print_json, print_rows

__all__ = ["allow", "deny", "known", "list_identities"]

SERVICE = "nexus.vault.v1.IdentityService"
LIST = Method(
    SERVICE, "ListIdentities", identity_pb2.ListIdentitiesRequest, identity_pb2.ListIdentitiesResponse
)
DENY = Method(SERVICE, "DenyIdentity", identity_pb2.DenyIdentityRequest, identity_pb2.DenyIdentityResponse)
ALLOW = Method(
    SERVICE, "AllowIdentity", identity_pb2.AllowIdentityRequest, identity_pb2.AllowIdentityResponse
)
TIMEOUT = 5.0


async def known(vault: Peer) -> list[dict[str, Any]]:
    """Every identity the vault knows, by name."""
    rows: list[dict[str, Any]] = []
    request = identity_pb2.ListIdentitiesRequest()
    while True:
        page = await vault.unary(LIST, request, timeout=TIMEOUT)
        rows += [_row(identity) for identity in page.identities]
        if not page.next_page_token:
            return rows
        request = identity_pb2.ListIdentitiesRequest(page_token=page.next_page_token)


async def list_identities(layout: Layout, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        rows = await known(vault)
    if as_json:
        print_json(rows)
        return
    print_rows(
        ["IDENTITY", "STATE", "EXPIRES", "RENEWALS", "MAY CLAIM", "WHY"],
        [_cells(row) for row in rows],
        empty="No identities yet. Let a machine join: nexus token create --node NAME",
    )


async def deny(layout: Layout, identity: str, reason: str, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        request = identity_pb2.DenyIdentityRequest(spiffe_id=identity, reason=reason)
        await vault.unary(DENY, request, timeout=TIMEOUT)
    _done(identity, "denied", "is withdrawn: refused everywhere, and nothing is sent to it.", as_json=as_json)


async def allow(layout: Layout, identity: str, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        await vault.unary(ALLOW, identity_pb2.AllowIdentityRequest(spiffe_id=identity), timeout=TIMEOUT)
    _done(identity, "allowed", "is allowed again, and so is every certificate of it that has not expired.",
          as_json=as_json)  # fmt: skip


def _done(identity: str, state: str, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"identity": identity, "state": state})
    else:
        console.print(f"{identity} {sentence}", markup=False, soft_wrap=True)


def _row(identity: identity_pb2.Identity) -> dict[str, Any]:
    denial = identity.denial
    return {
        "identity": identity.spiffe_id,
        "state": _state(identity),
        "created": _time(identity, "create_time"),
        "issued": _time(identity, "issue_time"),
        "expires": _time(identity, "expire_time"),
        "serial": identity.serial,
        "renewals": identity.renewals,
        "claims": {
            "models": list(identity.claims.models),
            "priority_floor": identity.claims.priority_floor,
            **({"tenant": identity.claims.tenant} if identity.claims.tenant else {}),
        },
        "copied": _time(identity, "alarm_time"),
        "denied": {"time": _time(denial, "create_time"), "reason": denial.reason, "by": denial.author}
        if identity.HasField("denial")
        else None,
    }


def _state(identity: identity_pb2.Identity) -> str:
    if identity.HasField("denial"):
        return "denied"
    if identity.HasField("alarm_time"):
        return "COPIED"
    now = datetime.datetime.now(datetime.UTC)
    expired = identity.HasField("expire_time") and identity.expire_time.ToDatetime(datetime.UTC) < now
    return "expired" if expired else "good"


def _cells(row: dict[str, Any]) -> list[str]:
    claims = row["claims"]
    floor = f"priority {claims['priority_floor']} up" if claims["priority_floor"] else ""
    tenant = f"for tenant {claims['tenant']}" if "tenant" in claims else ""
    may = "; ".join(filter(None, [tenant, ", ".join(claims["models"]), floor])) or "anything"
    why = f"{row['denied']['reason'] or 'no reason given'} ({row['denied']['by']})" if row["denied"] else ""
    if not why and row["copied"]:
        why = f"an older certificate was renewed beside a newer one in use, {row['copied']}"
    return [row["identity"], row["state"], row["expires"] or "-", str(row["renewals"]), may, why or "-"]


def _time(message: Message, field: str) -> str | None:
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(datetime.UTC).isoformat(timespec="seconds") if message.HasField(field) else None
