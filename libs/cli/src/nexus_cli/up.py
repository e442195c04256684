"""`nexus up`: a whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nexus_mesh.config import default_node

from nexus_cli import addresses, ports, welcome
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console
from nexus_cli.plan import Options, Plan
from nexus_cli.progress import Progress
from nexus_cli.ready import until_ready
from nexus_cli.settings import check_settings
from nexus_cli.supervisor import Supervisor

__all__ = ["describe", "running_mesh", "up"]


async def up(options: Options, *, as_json: bool) -> None:
    """Runs until SIGINT or SIGTERM. Raises Failure when the mesh does not come up."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    progress = Progress(quiet=as_json)
    async with running_mesh(options, progress) as (mesh, supervisor):
        halted = asyncio.ensure_future(stop.wait())
        starting = asyncio.ensure_future(until_ready(supervisor.plan, supervisor, progress))
        await asyncio.wait({halted, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            models = starting.result()
            progress.done()
            _announce(mesh, models, as_json=as_json)
            await halted
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Failure):
            await starting
        progress.stopping()


@asynccontextmanager
async def running_mesh(options: Options, progress: Progress) -> AsyncIterator[tuple[MeshFile, Supervisor]]:
    """Every process started, on the way to be ready; all stopped at the end."""
    layout = Layout(options.home)
    layout.prepare()
    with layout.only_one():
        mesh = describe(options, layout)
        plan = Plan(options, layout, mesh)
        check_settings(plan)
        layout.write(mesh)
        supervisor = Supervisor(plan, layout, mesh, progress.changed)
        try:
            await supervisor.start()
            yield mesh, supervisor
        finally:
            await supervisor.stop()
            progress.done()


def describe(options: Options, layout: Layout) -> MeshFile:
    """The mesh file of this start: addresses of before where they are still free, else new ones."""
    before = layout.read() or MeshFile(node=default_node())
    host = "127.0.0.1" if options.listen == "localhost" else options.listen
    taken: set[int] = set()
    chosen = {"http": _http_port(options, host, before.ports.get("http"), taken)}
    for name, usual in ports.USUAL.items():
        if name != "http":
            where = "127.0.0.1" if name.startswith("etcd") else host
            wanted = None if options.port == 0 else usual
            chosen[name] = ports.choose(where, before.ports.get(name, wanted), taken)
    reached = addresses.advertised(host, options.advertise)
    reached = f"[{reached}]" if ":" in reached else reached
    control = {
        role: f"{reached}:{chosen[role]}" for role in ("registry", "router", "vault", "gateway", "join")
    }
    http = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{chosen['http']}"
    return MeshFile(before.node, before.trust_domain, chosen, control, http, os.getpid())


def _http_port(options: Options, host: str, before: int | None, taken: set[int]) -> int:
    """The port asked for, or the usual one; a busy one is the user's to resolve, for clients point at it."""
    if options.port == 0:
        return ports.choose(host, before if before != ports.USUAL["http"] else None, taken)
    wanted = options.port or ports.USUAL["http"]
    if not ports.is_free(host, wanted):
        raise Failure(
            f"Port {wanted} on {host} is taken by another program.",
            "Choose another one with --port N, or --port 0 for any free one.",
        )
    taken.add(wanted)
    return wanted


def _announce(mesh: MeshFile, models: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(
            json.dumps({"state": "ready", "endpoint": f"{mesh.http}/v1", "models": models}) + "\n"
        )
        sys.stdout.flush()
    else:
        welcome.show(console, mesh.http, models)
