"""The `nexus` command: its sections, and what it says of itself."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from nexus_mesh.core import VERSION, guard_process

from nexus_cli import completing
from nexus_cli.command import Json
from nexus_cli.config_commands import config
from nexus_cli.grammar import ACCESS, SETTINGS, App, Root
from nexus_cli.identity_commands import identities, token
from nexus_cli.key_commands import keys
from nexus_cli.look_commands import looking
from nexus_cli.model_commands import modelling
from nexus_cli.output import print_json
from nexus_cli.policy_commands import policy
from nexus_cli.run_commands import running
from nexus_cli.tenant_commands import tenants

__all__ = ["app", "main"]

app = App(
    cls=Root,
    help="One OpenAI-compatible endpoint in front of the machines you own.",
)
for section in (running, modelling, looking):
    app.add_typer(section)  # without a name: its commands are of the first rank
app.add_typer(keys, name="keys", rich_help_panel=ACCESS)
app.add_typer(tenants, name="tenants", rich_help_panel=ACCESS)
app.add_typer(token, name="token", rich_help_panel=ACCESS)
app.add_typer(config, name="config", rich_help_panel=SETTINGS)
app.add_typer(policy, name="policy", rich_help_panel=SETTINGS)
app.add_typer(identities, name="identities", rich_help_panel=ACCESS)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nexus {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_tell_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """What may stand before the command."""


@app.does("help", section=SETTINGS)
def help_(
    command: Annotated[
        list[str] | None, typer.Argument(help="Of which command; of all if not given.")
    ] = None,
) -> None:
    """Show what a command does and takes."""
    app([*(command or []), "--help"], prog_name="nexus")


@app.does(section=SETTINGS)
def version(as_json: Json = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": VERSION, "python": sys.version.split()[0]})
    else:
        typer.echo(f"nexus {VERSION}")


class Shell(StrEnum):
    """What completion can be had for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.does(section=SETTINGS)
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print what makes your shell complete commands, models, backends and keys.

    Names are those of the mesh that runs on this machine, as they were seconds ago.
    """
    typer.echo(completing.SCRIPTS[shell.value], nl=False)


def main() -> None:
    """The console script."""
    guard_process()
    if sys.argv[1:2] == [completing.WORD]:
        completing.answer(app, sys.argv[2:])
    else:
        app()
