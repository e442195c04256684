"""What looks inside: `status`, `top`, `models`, `logs`, `explain`, `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli import completing
from nexus_cli.command import Home, Json, Level, failures, run
from nexus_cli.grammar import LOOK, App
from nexus_cli.layout import Layout

__all__ = ["looking"]

looking = App(help="Look inside.")


@looking.does(section=LOOK)
def status(
    home: Home,
    watched: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every process of the mesh and whether it serves."""
    from functools import partial

    from nexus_cli import status as status_command

    if watched:
        show = partial(status_command.status, as_json=as_json)
        run(status_command.watch(Layout(home), show), as_json=as_json)
    run(status_command.status(Layout(home), as_json=as_json), as_json=as_json)


@looking.does(section=LOOK)
def top(
    home: Home,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the backends are doing, again every 2 seconds, until Ctrl-C."""
    from functools import partial

    from nexus_cli import status as status_command

    show = partial(status_command.top, as_json=as_json)
    layout = Layout(home)
    run(show(layout) if once else status_command.watch(layout, show), as_json=as_json)


@looking.does(section=LOOK)
def models(home: Home, as_json: Json = False) -> None:
    """List the models, where they run, and what they can do."""
    from nexus_cli import models as models_command

    run(models_command.models(Layout(home), as_json=as_json), as_json=as_json)


@looking.does(section=LOOK)
def logs(
    home: Home,
    service: Annotated[
        str,
        typer.Argument(
            help="gateway, router, adapter, ... [all]",
            autocompletion=completing.services,
            show_default=False,
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last ones.")] = 50,
    level: Annotated[Level, typer.Option(help="Least level shown.")] = Level.INFO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as they were logged.")] = False,
) -> None:
    """Show what the processes of this machine logged."""
    from nexus_cli import log_lines

    with failures(as_json=as_json):
        log_lines.print_logs(
            Layout(home), service, lines=lines, level=level.value, follow=follow, as_json=as_json
        )


@looking.does(section=LOOK)
def explain(
    model: Annotated[
        str, typer.Argument(help="As a client would name it.", autocompletion=completing.models)
    ],
    home: Home,
    operation: Annotated[str, typer.Option(help="chat, completion or embedding.")] = "chat",
    needs: Annotated[
        list[str] | None, typer.Option("--need", help="tools, vision, json, ... (repeatable)")
    ] = None,
    zone: Annotated[str, typer.Option(help="The privacy zone the client demands.")] = "",
    as_json: Json = False,
) -> None:
    """Tell where a request would go, and why not elsewhere."""
    from nexus_cli import explain as explain_command

    run(
        explain_command.explain(Layout(home), model, operation, needs or [], zone, as_json=as_json),
        as_json=as_json,
    )


@looking.does(section=LOOK)
def doctor(
    home: Home,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what is well, too.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is wrong or will be, and say what to do."""
    from nexus_cli import doctor as doctor_command

    run(doctor_command.doctor(Layout(home), verbose=verbose, as_json=as_json), as_json=as_json)
