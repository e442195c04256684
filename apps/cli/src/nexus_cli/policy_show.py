"""`nexus policy show`, `history` and `diff`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from nexus.router.v1 import policy_pb2 as pb
from nexus_mesh.identity import SpiffeId
from nexus_mesh.rpc import Peer
from rich.text import Text

from nexus_cli import policy_calls, policy_text
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import console, print_json, print_rows

__all__ = ["diff", "history", "name_of", "print_changes", "row", "show"]

STYLES = {"+": "green", "-": "red", "@": "cyan"}


async def show(layout: Layout, revision: int | None, *, toml: bool, as_json: bool) -> None:
    async with control(layout, "router") as router:
        got = await policy_calls.get(router, revision)
    if as_json:
        facts = {"in_force": got.policy.revision.number == got.revision_in_force}
        facts |= {"differs_from_file": got.differs_from_file, "problem": got.problem}
        print_json({**row(got.policy.revision), **facts, "policy": json.loads(got.policy.json)})
        return
    text = policy_text.to_toml(got.policy.json)
    if not toml:
        _print_head(got)
    sys.stdout.write(text)


async def history(layout: Layout, *, as_json: bool) -> None:
    async with control(layout, "router") as router:
        in_force = (await policy_calls.get(router)).revision_in_force
        rows = [
            {**row(each), "in_force": each.number == in_force}
            for each in await policy_calls.revisions(router)
        ]
    if as_json:
        print_json(rows)
        return
    cells = [
        [
            f"{each['revision']}{' *' if each['in_force'] else ''}",
            each["time"] or "-",
            _who(each["author"]),
            each["comment"] or each["problem"],
        ]
        for each in rows
    ]
    empty = "No policy was ever stored: nexus.toml is in force. Store one: nexus policy set FILE"
    print_rows(["REVISION", "TIME", "AUTHOR", "COMMENT"], cells, empty=empty)


async def diff(layout: Layout, first: str, second: int | None, *, as_json: bool) -> None:
    async with control(layout, "router") as router:
        if first and not first.isdecimal():
            proposed = await policy_calls.would_be(router, policy_text.read(first))
            before = await policy_calls.get(router, second)
            names = name_of(before.policy.revision), first
            lines = policy_text.changes(before.policy.json, proposed.json, *names)
        else:
            lines = await _between(router, int(first or 0), second)
    if as_json:
        print_json({"changes": lines})
    else:
        print_changes(lines)


async def _between(router: Peer, first: int, second: int | None) -> list[str]:
    before, after = await policy_calls.get(router, first), await policy_calls.get(router, second)
    names = name_of(before.policy.revision), name_of(after.policy.revision)
    return policy_text.changes(before.policy.json, after.policy.json, *names)


def print_changes(lines: Iterable[str]) -> None:
    """A diff in colours, or that there is none."""
    shown = False
    for line in lines:
        shown = True
        _print(line, STYLES.get(line[:1], ""))
    if not shown:
        console.print("Nothing differs.")


def name_of(revision: pb.Revision) -> str:
    if revision.number == 0:
        return "nexus.toml"
    return f"revision {revision.number}{' (nexus.toml)' if revision.reset else ''}"


def row(revision: pb.Revision) -> dict[str, Any]:
    """A revision for programs."""
    return {
        "revision": revision.number,
        "time": revision.create_time.ToJsonString() if revision.HasField("create_time") else None,
        "author": revision.author,
        "comment": revision.comment,
        "reset": revision.reset,
        "problem": revision.problem,
    }


def _print_head(got: pb.GetPolicyResponse) -> None:
    revision = got.policy.revision
    in_force = revision.number == got.revision_in_force
    _print(f"# {name_of(revision)}, {'in force' if in_force else 'not in force'}")
    if revision.number:
        when = revision.create_time.ToJsonString()
        about = f"# by {_who(revision.author)}, {when}{': ' if revision.comment else ''}{revision.comment}"
        _print(about)
        if not revision.reset:
            differs = "says something else" if got.differs_from_file else "says the same"
            back = " (`nexus policy reset` returns to it)" if in_force else ""
            _print(f"# [routing] of nexus.toml {differs}{back}")
    if got.problem:
        _print(f"# Attention: {got.problem}", "yellow")
    console.print()


def _print(line: str, style: str = "") -> None:
    """As it is: nothing in it is markup or the name of an emoji."""
    console.print(Text(line, style))


def _who(author: str) -> str:
    """An author in short: node/role/name."""
    try:
        return SpiffeId.parse(author).instance_id
    except ValueError:
        return author or "-"
