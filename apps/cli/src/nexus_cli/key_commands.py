"""`nexus keys`: who may call the endpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli import completing
from nexus_cli.command import Demanded, Home, Json, demanded, run
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["keys"]

keys = App(help="API keys of the endpoint.")

Key = Annotated[str, typer.Argument(help="Its id or name.", autocompletion=completing.keys)]


@keys.does()
def create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    home: Home,
    tenant: Annotated[str, typer.Option(help="Whom it belongs to.")] = "default",
    zone: Demanded = None,
    manage: Annotated[bool, typer.Option("--manage", help="It may load, unload and pull models.")] = False,
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires. [never]")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. Its text is shown once."""
    from nexus.vault.v1 import keys_pb2

    from nexus_cli import keys as keys_command

    wanted = keys_pb2.CreateKeyRequest(name=name, tenant=tenant, zone=demanded(zone), manage=manage)
    run(keys_command.create(Layout(home), wanted, days, as_json=as_json), as_json=as_json)


@keys.does("list")
def list_keys(home: Home, as_json: Json = False) -> None:
    """List the keys, without their secrets."""
    from nexus_cli import keys as keys_command

    run(keys_command.list_keys(Layout(home), as_json=as_json), as_json=as_json)


@keys.does()
def update(
    key: Key,
    home: Home,
    zone: Demanded = None,
    manage: Annotated[bool | None, typer.Option(help="Whether it may load, unload and pull models.")] = None,
    as_json: Json = False,
) -> None:
    """Change what a key demands and may do; it counts within a second."""
    from nexus.vault.v1 import keys_pb2

    from nexus_cli import keys as keys_command

    wanted = keys_pb2.UpdateKeyRequest(key=key, zone=demanded(zone), manage=manage)
    run(keys_command.update(Layout(home), wanted, as_json=as_json), as_json=as_json)


@keys.does()
def revoke(
    key: Key,
    home: Home,
    as_json: Json = False,
) -> None:
    """End a key; it is refused within a second."""
    from nexus_cli import keys as keys_command

    run(keys_command.revoke(Layout(home), key, as_json=as_json), as_json=as_json)
