"""`nexus keys`: create, list, update, revoke."""

from __future__ import annotations

import datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.vault.v1 import keys_pb2
from nexus_mesh.rpc import Method, Peer

from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import advise, console, print_json, print_rows

__all__ = ["create", "every", "list_keys", "revoke", "rows", "update", "zone_name"]

SERVICE = "nexus.vault.v1.KeyService"
CREATE = Method(SERVICE, "CreateKey", keys_pb2.CreateKeyRequest, keys_pb2.CreateKeyResponse)
LIST = Method(SERVICE, "ListKeys", keys_pb2.ListKeysRequest, keys_pb2.ListKeysResponse)
UPDATE = Method(SERVICE, "UpdateKey", keys_pb2.UpdateKeyRequest, keys_pb2.UpdateKeyResponse)
REVOKE = Method(SERVICE, "RevokeKey", keys_pb2.RevokeKeyRequest, keys_pb2.RevokeKeyResponse)
TIMEOUT = 5.0


async def create(
    layout: Layout, request: keys_pb2.CreateKeyRequest, days: float | None, *, as_json: bool
) -> None:
    if days is not None:
        request.expire_time.FromDatetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))
    async with control(layout, "vault") as vault:
        made = await vault.unary(CREATE, request, timeout=TIMEOUT)
    if as_json:
        print_json({**_row(made.key), "secret": made.secret})
        return
    console.print(made.secret)
    advise("Keep it now: it is not shown again.")


async def every(layout: Layout) -> list[dict[str, Any]]:
    """Every key, as it is printed."""
    async with control(layout, "vault") as vault:
        return await rows(vault)


async def rows(vault: Peer) -> list[dict[str, Any]]:
    """The same, of a vault that is spoken to already."""
    page = await vault.unary(LIST, keys_pb2.ListKeysRequest(), timeout=TIMEOUT)
    found = [_row(key) for key in page.keys]
    while page.next_page_token:
        request = keys_pb2.ListKeysRequest(page_token=page.next_page_token)
        page = await vault.unary(LIST, request, timeout=TIMEOUT)
        found += [_row(key) for key in page.keys]
    return found


async def list_keys(layout: Layout, *, as_json: bool) -> None:
    found = await every(layout)
    if as_json:
        print_json(found)
        return
    print_rows(
        ["ID", "NAME", "TENANT", "ZONE", "MAY", "CREATED", "EXPIRES", "STATE"],
        [_cells(row) for row in found],
        empty="No keys. Make one: nexus keys create NAME",
    )


async def update(layout: Layout, request: keys_pb2.UpdateKeyRequest, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        changed = (await vault.unary(UPDATE, request, timeout=TIMEOUT)).key
    if as_json:
        print_json(_row(changed))
    else:
        may = "may manage models" if changed.manage else "may not manage models"
        console.print(f"{changed.name} demands {zone_name(changed.zone)}, {may}.")


async def revoke(layout: Layout, key: str, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        ended = await vault.unary(REVOKE, keys_pb2.RevokeKeyRequest(key=key), timeout=TIMEOUT)
    if as_json:
        print_json(_row(ended.key))
    else:
        console.print(f"{ended.key.name} ({ended.key.id}) is revoked.")


def zone_name(zone: str) -> str:
    """For people."""
    return f"zone {zone}" if zone else "no zone"


def _row(key: keys_pb2.Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "zone": key.zone or None,
        "manage": key.manage,
        "created": _time(key, "create_time"),
        "expires": _time(key, "expire_time"),
        "revoked": _time(key, "revoke_time"),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    may = "use, manage" if row["manage"] else "use"
    start = [row["id"], row["name"], row["tenant"], row["zone"] or "-", may]
    return [*start, row["created"], row["expires"] or "never", _state(row)]


def _state(row: dict[str, Any]) -> str:
    if row["revoked"]:
        return "revoked"
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return "expired" if row["expires"] and row["expires"] < now else "live"


def _time(message: Message, field: str) -> str | None:
    value: Timestamp = getattr(message, field)
    return value.ToDatetime(datetime.UTC).isoformat(timespec="seconds") if message.HasField(field) else None
