"""`nexus tenants`: create, list, update, delete."""

from __future__ import annotations

import datetime
from typing import Any

from nexus.vault.v1 import tenants_pb2
from nexus_mesh.rpc import Method

from nexus_cli.keys import zone_name
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import console, print_json, print_rows

__all__ = ["create", "delete", "list_tenants", "update"]

SERVICE = "nexus.vault.v1.TenantService"
CREATE = Method(SERVICE, "CreateTenant", tenants_pb2.CreateTenantRequest, tenants_pb2.CreateTenantResponse)
LIST = Method(SERVICE, "ListTenants", tenants_pb2.ListTenantsRequest, tenants_pb2.ListTenantsResponse)
UPDATE = Method(SERVICE, "UpdateTenant", tenants_pb2.UpdateTenantRequest, tenants_pb2.UpdateTenantResponse)
DELETE = Method(SERVICE, "DeleteTenant", tenants_pb2.DeleteTenantRequest, tenants_pb2.DeleteTenantResponse)
TIMEOUT = 5.0


async def create(layout: Layout, request: tenants_pb2.CreateTenantRequest, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        _show((await vault.unary(CREATE, request, timeout=TIMEOUT)).tenant, as_json=as_json)


async def list_tenants(layout: Layout, *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    async with control(layout, "vault") as vault:
        page = await vault.unary(LIST, tenants_pb2.ListTenantsRequest(), timeout=TIMEOUT)
        rows += [_row(tenant) for tenant in page.tenants]
        while page.next_page_token:
            request = tenants_pb2.ListTenantsRequest(page_token=page.next_page_token)
            page = await vault.unary(LIST, request, timeout=TIMEOUT)
            rows += [_row(tenant) for tenant in page.tenants]
    if as_json:
        print_json(rows)
        return
    cells = [[row["name"], row["zone"] or "-", row["weight"], row["created"]] for row in rows]
    print_rows(["NAME", "ZONE", "WEIGHT", "CREATED"], cells, empty="No tenants.")


async def update(layout: Layout, request: tenants_pb2.UpdateTenantRequest, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        _show((await vault.unary(UPDATE, request, timeout=TIMEOUT)).tenant, as_json=as_json)


async def delete(layout: Layout, tenant: str, *, as_json: bool) -> None:
    async with control(layout, "vault") as vault:
        await vault.unary(DELETE, tenants_pb2.DeleteTenantRequest(tenant=tenant), timeout=TIMEOUT)
    if as_json:
        print_json({"deleted": tenant})
    else:
        console.print(f"{tenant} is deleted.")


def _show(tenant: tenants_pb2.Tenant, *, as_json: bool) -> None:
    if as_json:
        print_json(_row(tenant))
    else:
        console.print(f"{tenant.name} demands {zone_name(tenant.zone)}, weight {tenant.weight}.")


def _row(tenant: tenants_pb2.Tenant) -> dict[str, Any]:
    created = tenant.create_time.ToDatetime(datetime.UTC).isoformat(timespec="seconds")
    return {"name": tenant.name, "zone": tenant.zone or None, "weight": tenant.weight, "created": created}
