"""`nexus policy check`, `set`, `rollback` and `reset`."""

from __future__ import annotations

import json
import sys

import typer
from nexus.router.v1 import policy_pb2 as pb
from rich.text import Text

from nexus_cli import policy_calls, policy_text
from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure, advise, console, print_json
from nexus_cli.policy_show import name_of, print_changes, row
from nexus_cli.resume_doubts import doubts

__all__ = ["check", "put", "reset", "rollback"]


async def check(layout: Layout, file: str, *, as_json: bool) -> None:
    text = policy_text.read(file)
    async with control(layout, "router") as router:
        proposed = await policy_calls.would_be(router, text)
        current = (await policy_calls.get(router)).policy
    lines = policy_text.changes(current.json, proposed.json, name_of(current.revision), file)
    doubted = doubts(json.loads(proposed.json), await listed(layout, "adapter"))
    if as_json:
        print_json({"ok": True, "changes": lines, "doubts": doubted})
        return
    for doubt in doubted:
        advise(doubt, "yellow")
    console.print("It holds. Setting it would change:" if lines else "It holds, and is what is in force.")
    if lines:
        print_changes(lines)


async def put(layout: Layout, file: str, comment: str, *, yes: bool, as_json: bool) -> None:
    text = policy_text.read(file)
    async with control(layout, "router") as router:
        current = (await policy_calls.get(router)).policy
        proposed = await policy_calls.would_be(router, text)
        lines = policy_text.changes(current.json, proposed.json, name_of(current.revision), file)
        stored = current.revision.number and not current.revision.reset
        if not lines and stored:
            _tell(current, "is in force already, and says the same", as_json=as_json)
            return
        if not as_json:
            print_changes(lines)
            if not yes:
                _ask(file)
        request = pb.SetPolicyRequest(json=text, etag=current.etag, comment=comment)
        made = await policy_calls.change(router, request)
    _tell(made, "is in force", as_json=as_json)


async def rollback(layout: Layout, revision: int | None, comment: str, *, as_json: bool) -> None:
    async with control(layout, "router") as router:
        current = (await policy_calls.get(router)).policy
        request = pb.RollbackPolicyRequest(revision=revision, etag=current.etag, comment=comment)
        made = await policy_calls.change(router, request)
    _tell_change(current, made, as_json=as_json)


async def reset(layout: Layout, comment: str, *, as_json: bool) -> None:
    async with control(layout, "router") as router:
        current = (await policy_calls.get(router)).policy
        made = await policy_calls.change(router, pb.ResetPolicyRequest(etag=current.etag, comment=comment))
    _tell_change(current, made, as_json=as_json)


def _ask(file: str) -> None:
    """Lets somebody at a terminal say no; a script is not asked."""
    if file == "-" or not sys.stdin.isatty():
        return
    if not typer.confirm("Put it in force?"):
        raise Failure("Nothing was changed.")


def _tell_change(before: pb.Policy, after: pb.Policy, *, as_json: bool) -> None:
    if after.revision.number == before.revision.number:
        _tell(after, "is in force already", as_json=as_json)
        return
    if not as_json:
        names = name_of(before.revision), name_of(after.revision)
        print_changes(policy_text.changes(before.json, after.json, *names))
    _tell(after, "is in force", as_json=as_json)


def _tell(policy: pb.Policy, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(row(policy.revision))
        return
    name = name_of(policy.revision)
    comment = f": {policy.revision.comment}" if policy.revision.comment else ""
    console.print(Text(f"{name} {what}{comment}"))
