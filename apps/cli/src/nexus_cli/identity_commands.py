"""`nexus identities` and `nexus token`: who is part of the mesh, and who may become one."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli.command import Home, Json, run
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["identities", "token"]

identities = App(help="Who is part of the mesh, and who is not any more.")
token = App(help="Tokens that let another machine join.")

Identity = Annotated[str, typer.Argument(help="As `nexus identities list` shows it: spiffe://...")]


@identities.does("list")
def list_identities(home: Home, as_json: Json = False) -> None:
    """List every identity, its certificate, what it may claim, and what is wrong with it."""
    from nexus_cli import identities as identities_command

    run(identities_command.list_identities(Layout(home), as_json=as_json), as_json=as_json)


@identities.does()
def deny(
    identity: Identity,
    home: Home,
    reason: Annotated[str, typer.Option(help="Why, for who looks later.")] = "",
    as_json: Json = False,
) -> None:
    """Withdraw an identity: refused everywhere within a second, also after restarts without the vault."""
    from nexus_cli import identities as identities_command

    run(identities_command.deny(Layout(home), identity, reason, as_json=as_json), as_json=as_json)


@identities.does()
def allow(identity: Identity, home: Home, as_json: Json = False) -> None:
    """Take a denial back, and end the alarm about a copy."""
    from nexus_cli import identities as identities_command

    run(identities_command.allow(Layout(home), identity, as_json=as_json), as_json=as_json)


@token.does("create")
def token_create(
    home: Home,
    node: Annotated[str, typer.Option(help="The joining machine's name in the mesh.")],
    role: Annotated[
        str, typer.Option(help="adapter: a machine with engines. client: a program that asks models.")
    ] = "adapter",
    tenant: Annotated[str, typer.Option(help="Of a client: the tenant its requests belong to.")] = "",
    name: Annotated[str, typer.Option(help="Its name on that machine.")] = "main",
    zone: Annotated[str, typer.Option(help="Its privacy zone.")] = "default",
    models: Annotated[
        str,
        typer.Option(
            help="Models it may offer (a client: ask), * and ? allowed, commas between: 'llama*,qwen*'. [any]"
        ),
    ] = "",
    priority_floor: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000, help="Best priority number it may claim; 0 = any.", show_default="50"
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=1, max=1440, help="How long the token is good.")] = 10,
    as_json: Json = False,
) -> None:
    """Make a single-use token for one machine, or for one program of a tenant."""
    from nexus_cli import tokens as tokens_command

    wanted = tokens_command.Wanted(role, node, name, tenant, zone, models, priority_floor, minutes)
    run(tokens_command.create(Layout(home), wanted, as_json=as_json), as_json=as_json)
