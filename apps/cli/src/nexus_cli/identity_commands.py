"""`nexus identities`: who is part of the mesh."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli.command import Home, Json, run
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["identities"]

identities = App(help="Who is part of the mesh, and who is not any more.")

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
