"""`nexus up`: a whole mesh on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from nexus_mesh.core import addresses
from nexus_mesh.settings import default_node

from nexus_cli import background, names_keeper, welcome
from nexus_cli.advertising import advertised
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console
from nexus_cli.plan import Options, Plan
from nexus_cli.ports import USUAL, Ports
from nexus_cli.progress import Progress
from nexus_cli.ready import until_ready
from nexus_cli.settings import check_settings
from nexus_cli.supervisor import Supervisor

__all__ = ["describe", "running_mesh", "up"]


async def up(options: Options, arguments: Sequence[str], *, as_json: bool) -> None:
    """Runs until SIGINT or SIGTERM, which count from the first moment. `arguments`: how it was started.

    Raises Failure when it does not come up.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    progress = Progress(quiet=as_json)
    halted = asyncio.ensure_future(stop.wait())
    serving = asyncio.ensure_future(_serve(options, arguments, progress, as_json=as_json))
    telling = asyncio.ensure_future(progress.tell())
    try:
        await asyncio.wait({halted, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            progress.stopping()
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        telling.cancel()
        progress.done()


async def _serve(options: Options, arguments: Sequence[str], progress: Progress, *, as_json: bool) -> None:
    """Never ends well by itself."""
    async with running_mesh(options, progress) as (mesh, supervisor):
        background.remember(Layout(options.home), arguments, supervisor.plan.variables())
        models = await until_ready(supervisor.plan, supervisor, progress)
        progress.done()
        _announce(mesh, models, as_json=as_json)
        await asyncio.Event().wait()


@asynccontextmanager
async def running_mesh(options: Options, progress: Progress) -> AsyncIterator[tuple[MeshFile, Supervisor]]:
    """Every process started, on the way to be ready; all stopped at the end."""
    layout = Layout(options.home)
    layout.prepare()
    layout.see_that_it_can_be_used()
    with layout.only_one(), Ports() as ports:
        mesh = describe(options, layout, ports)
        plan = Plan(options, layout, mesh)
        check_settings(plan)
        layout.write(mesh)
        supervisor = Supervisor(plan, layout, mesh, progress.changed)
        names = asyncio.get_running_loop().create_task(names_keeper.keep(layout), name="names")
        try:
            await supervisor.start()
            yield mesh, supervisor
        finally:
            names.cancel()
            await asyncio.wait([names])
            await supervisor.stop()


def describe(options: Options, layout: Layout, ports: Ports) -> MeshFile:
    """The mesh file of this start: addresses of before where they are still free, else new ones. All are held."""
    before = layout.read() or MeshFile(node=default_node())
    host = options.listen
    _see_that_it_is_ours(host)
    chosen = {"http": _http_port(options, host, before.ports.get("http"), ports)}
    for name, usual in USUAL.items():
        if name != "http":
            where = addresses.loopback() if name.startswith("etcd") else host
            wanted = None if options.port == 0 else usual
            chosen[name] = ports.choose(where, before.ports.get(name, wanted))
    reached = advertised(host, options.advertise)
    roles = ("registry", "router", "vault", "gateway", "join")
    control = {role: addresses.join(reached, chosen[role]) for role in roles}
    http = f"http://{addresses.join(addresses.local(host), chosen['http'])}"
    return MeshFile(before.node, before.trust_domain, chosen, control, http, os.getpid())


def _see_that_it_is_ours(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        raise Failure(
            f"{host} is no address of this machine.",
            "Give one of its own with --listen, or 0.0.0.0 or :: for all of them.",
        ) from None


def _http_port(options: Options, host: str, before: int | None, ports: Ports) -> int:
    """The port asked for, or the usual one; a busy one is the user's to resolve, for clients point at it."""
    if options.port == 0:
        return ports.choose(host, before if before != USUAL["http"] else None)
    wanted = options.port or USUAL["http"]
    if not ports.hold(host, wanted):
        raise Failure(
            f"Port {wanted} on {host} is taken by another program.",
            "Choose another one with --port N, or --port 0 for any free one.",
        )
    return wanted


def _announce(mesh: MeshFile, models: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(
            json.dumps({"state": "ready", "endpoint": f"{mesh.http}/v1", "models": models}) + "\n"
        )
        sys.stdout.flush()
    else:
        welcome.show(console, mesh.http, models)
