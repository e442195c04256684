"""`nexus config`: the settings file, begun, checked, shown and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nexus_cli.command import Home, Json, failures
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["config"]

config = App(help="The settings file, nexus.toml.")

File = Annotated[
    Path | None, typer.Option("--config", envvar="NEXUS_CONFIG", help="The file, if not the one in the home.")
]


@config.does()
def init(
    home: Home,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a nexus.toml to begin with: every setting as a comment."""
    from nexus_cli import config_files

    with failures(as_json=as_json):
        config_files.init(Layout(home.resolve()), force=force, as_json=as_json)


@config.does()
def check(home: Home, config: File = None, as_json: Json = False) -> None:
    """Check the file; nothing is started or changed."""
    from nexus_cli import config_files

    with failures(as_json=as_json):
        config_files.check(Layout(home.resolve()), config, as_json=as_json)


@config.does()
def show(home: Home, config: File = None, as_json: Json = False) -> None:
    """Show the settings that hold: the file's, the environment's, the defaults.

    Ports, addresses and folders, which `nexus up` chooses itself, are left out.
    """
    from nexus_cli import config_files

    with failures(as_json=as_json):
        config_files.show(Layout(home.resolve()), config, as_json=as_json)


@config.does()
def schema() -> None:
    """Print the JSON Schema of nexus.toml, for editors."""
    from nexus_cli import reference
    from nexus_cli.output import print_json

    print_json(reference.schema())


@config.does("reference")
def reference_() -> None:
    """Print every setting, its default and what it is, as Markdown."""
    from nexus_cli import reference

    typer.echo(reference.page(), nl=False)
