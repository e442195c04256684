"""What runs a mesh, or ends it: `up`, `stop`, `restart`, `join`, `service`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from nexus_mesh.core import addresses

from nexus_cli.command import Home, Json, Level, failures, run
from nexus_cli.grammar import RUN, App
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, fail

__all__ = ["running"]

running = App(help="Run it.")
service = App(help="Start the mesh at login.")
running.add_typer(service, name="service", rich_help_panel=RUN)


@running.does(section=RUN)
def up(
    home: Home,
    config: Annotated[
        Path | None,
        typer.Option(envvar="NEXUS_CONFIG", help="nexus.toml to use instead of the one in the home."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="HTTP port; 0 = any free one. [8080]")
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address to listen on. Beyond loopback, API keys are demanded.")
    ] = "localhost",
    advertise: Annotated[
        str | None, typer.Option(help="Address other machines reach this one at. [found out]")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A GGUF file to serve.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call its model. [the file's name]")] = None,
    discovery: Annotated[
        bool, typer.Option(help="Look for engines: on their usual local ports, and by mDNS.")
    ] = True,
    log_level: Annotated[Level, typer.Option(help="Least level logged.")] = Level.INFO,
    detached: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running, and come back once it is ready.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a whole mesh on this machine, until Ctrl-C."""
    from nexus_cli import background
    from nexus_cli.plan import Options
    from nexus_cli.up import up as start

    layout, chosen = Layout(home.resolve()), gguf_file(model, as_json=as_json)
    if detached:
        with failures(as_json=as_json):
            background.detach(layout, sys.argv[1:], as_json=as_json)
        return
    options = Options(
        home.resolve(), config, port, host_of(listen), chosen, discovery, log_level.value, name, advertise
    )
    run(start(options, sys.argv[1:], as_json=as_json), as_json=as_json)


@running.does(section=RUN)
def stop(home: Home, as_json: Json = False) -> None:
    """Stop the mesh of this machine, in order, and wait until it has ended."""
    from nexus_cli import background

    with failures(as_json=as_json):
        background.stop(Layout(home.resolve()), as_json=as_json)


@running.does(section=RUN)
def restart(
    home: Home,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also without variables, such as keys, that it was started with."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop it, and start it in the background as it was started last."""
    from nexus_cli import background

    with failures(as_json=as_json):
        background.restart(Layout(home.resolve()), force=force, as_json=as_json)


@running.does(section=RUN)
def join(
    home: Home,
    join_token: Annotated[
        str | None,
        typer.Argument(
            metavar="-", help="Read the token from standard input. [asked for, or standard input]"
        ),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="Read the token from a file.")] = None,
    listen: Annotated[
        str | None, typer.Option(help="Address of this machine in the mesh. [found out]")
    ] = None,
    discovery: Annotated[
        bool, typer.Option(help="Look for engines: on their usual local ports, and by mDNS.")
    ] = True,
    model: Annotated[Path | None, typer.Option(help="A GGUF file to serve.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call its model. [the file's name]")] = None,
    as_json: Json = False,
) -> None:
    """Join this machine's engines to a mesh, and serve them until Ctrl-C.

    The token of `nexus token create` is asked for; in scripts it comes by standard input or --token-file, never as an
    argument, which every user of this machine could read. A machine that has joined needs none to serve again.
    """
    from nexus_cli import join as join_command

    layout, chosen = Layout(home.resolve()), gguf_file(model, as_json=as_json)
    source = join_command.Source(join_token, token_file)
    address = None if listen is None else host_of(listen)
    run(
        join_command.join(layout, source, address, discovery, chosen, name, as_json=as_json),
        as_json=as_json,
    )


@running.does(hidden=True)
def bootstrap(
    home: Home,
    node: Annotated[str, typer.Option(help="The node every member is part of.")],
    join_dir: Annotated[Path, typer.Option(help="Where tokens go: DIR/<role>/token.")],
    etcd_dir: Annotated[Path, typer.Option(help="Where etcd's certificate goes.")],
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="A further adapter, by name: its token goes to DIR/adapter-<name>/token."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prepare a mesh run by something else (containers): tokens, etcd's certificate. Runs on, to renew it."""
    from nexus_cli import bootstrap as bootstrap_command

    run(bootstrap_command.bootstrap(Layout(home), node, join_dir, etcd_dir, adapter or ()), as_json=as_json)


@service.does()
def install(
    home: Home,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write what starts it at login: a systemd user unit, or launchd's file."""
    from nexus_cli import login_service

    with failures(as_json=as_json):
        login_service.install(Layout(home.resolve()), force=force, as_json=as_json)


def host_of(listen: str) -> str:
    """The address meant by --listen."""
    return addresses.loopback() if listen == "localhost" else addresses.bare(listen)


def gguf_file(model: Path | None, *, as_json: bool) -> Path | None:
    """The model file's whole path. Refuses what a look at it shows to be no model, before anything starts."""
    from nexus_inference_adapters.gguf import read_gguf

    if model is None:
        return None
    try:
        read_gguf(model)
    except OSError as error:
        refused = Failure(f"{model} cannot be read: {error.strerror}.", "Give the path of a GGUF model.")
    except ValueError as error:
        advice = "Download or copy it again, or give the path of another GGUF model."
        refused = Failure(f"{model} cannot be served: {error}.", advice)
    else:
        return model.resolve()
    raise fail(refused, as_json=as_json)
