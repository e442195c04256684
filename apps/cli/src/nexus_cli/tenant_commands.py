"""`nexus tenants`: whom keys belong to."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli.command import Demanded, Home, Json, demanded, run
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["tenants"]

tenants = App(help="Whom keys belong to, and what that demands.")


@tenants.does()
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    home: Home,
    zone: Demanded = None,
    weight: Annotated[int, typer.Option(min=1, max=1000, help="Its share when requests must wait.")] = 1,
    as_json: Json = False,
) -> None:
    """Make a tenant."""
    from nexus.vault.v1 import tenants_pb2

    from nexus_cli import tenants as tenants_command

    wanted = tenants_pb2.CreateTenantRequest(name=name, zone=demanded(zone), weight=weight)
    run(tenants_command.create(Layout(home), wanted, as_json=as_json), as_json=as_json)


@tenants.does("list")
def list_tenants(home: Home, as_json: Json = False) -> None:
    """List the tenants."""
    from nexus_cli import tenants as tenants_command

    run(tenants_command.list_tenants(Layout(home), as_json=as_json), as_json=as_json)


@tenants.does()
def update(
    tenant: Annotated[str, typer.Argument(help="Its name.")],
    home: Home,
    zone: Demanded = None,
    weight: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Its share when requests must wait.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what a tenant demands, for all its keys; it counts within a second."""
    from nexus.vault.v1 import tenants_pb2

    from nexus_cli import tenants as tenants_command

    wanted = tenants_pb2.UpdateTenantRequest(tenant=tenant, zone=demanded(zone), weight=weight)
    run(tenants_command.update(Layout(home), wanted, as_json=as_json), as_json=as_json)


@tenants.does()
def delete(
    tenant: Annotated[str, typer.Argument(help="Its name.")], home: Home, as_json: Json = False
) -> None:
    """Delete a tenant that has no live keys."""
    from nexus_cli import tenants as tenants_command

    run(tenants_command.delete(Layout(home), tenant, as_json=as_json), as_json=as_json)
