"""`nexus policy`: what the operator wants of routing, kept in revisions."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_cli.command import Home, Json, run
from nexus_cli.grammar import App
from nexus_cli.layout import Layout

__all__ = ["policy"]

policy = App(
    help="What you want of routing, in revisions. A stored policy replaces the routing tables of nexus.toml.",
)

File = Annotated[
    str, typer.Argument(metavar="FILE", help="Routing tables as in nexus.toml; - = standard input.")
]
Comment = Annotated[str, typer.Option(help="Why, for the history.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@policy.does()
def show(
    home: Home,
    revision: Annotated[int | None, typer.Option(min=0, help="0 = nexus.toml. [the one in force]")] = None,
    toml: Annotated[
        bool, typer.Option("--toml", help="Print only the policy, to edit and set again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the policy in force, or a revision."""
    from nexus_cli import policy_show

    run(policy_show.show(Layout(home), revision, toml=toml, as_json=as_json), as_json=as_json)


@policy.does()
def history(home: Home, as_json: Json = False) -> None:
    """List the revisions kept, newest first."""
    from nexus_cli import policy_show

    run(policy_show.history(Layout(home), as_json=as_json), as_json=as_json)


@policy.does()
def diff(
    home: Home,
    first: Annotated[str, typer.Argument(metavar="FILE|REV", show_default=False)] = "",
    second: Annotated[int | None, typer.Argument(metavar="REV", min=0, show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show what FILE would change, or what changed since REV (up to the second REV); alone: since nexus.toml."""
    from nexus_cli import policy_show

    run(policy_show.diff(Layout(home), first, second, as_json=as_json), as_json=as_json)


@policy.does()
def check(file: File, home: Home, as_json: Json = False) -> None:
    """Check a policy; nothing is changed."""
    from nexus_cli import policy_change

    run(policy_change.check(Layout(home), file, as_json=as_json), as_json=as_json)


@policy.does("set")
def set_(file: File, home: Home, comment: Comment = "", yes: Yes = False, as_json: Json = False) -> None:
    """Put a policy in force: all of it, at once, or not at all."""
    from nexus_cli import policy_change

    run(policy_change.put(Layout(home), file, comment, yes=yes, as_json=as_json), as_json=as_json)


@policy.does()
def rollback(
    home: Home,
    revision: Annotated[
        int | None,
        typer.Argument(metavar="REV", min=0, show_default=False, help="The one before if not given."),
    ] = None,
    comment: Comment = "",
    as_json: Json = False,
) -> None:
    """Put an earlier revision in force again, as a new one."""
    from nexus_cli import policy_change

    run(policy_change.rollback(Layout(home), revision, comment, as_json=as_json), as_json=as_json)


@policy.does()
def reset(home: Home, comment: Comment = "", as_json: Json = False) -> None:
    """Give the word back to nexus.toml."""
    from nexus_cli import policy_change

    run(policy_change.reset(Layout(home), comment, as_json=as_json), as_json=as_json)
