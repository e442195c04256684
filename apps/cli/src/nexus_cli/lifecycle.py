"""`nexus load`, `unload`, `pull` and `rm`: straight to the adapter of the model, as the operator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

from nexus.lifecycle.v1 import lifecycle_pb2
from nexus.router.v1 import router_pb2
from nexus_gateway.management import ABILITIES, Chosen, choose, perform, pulled
from nexus_mesh.rpc import Method, Peer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.text import Text

from nexus_cli.layout import Layout
from nexus_cli.operator import control, dialled
from nexus_cli.output import Failure, console, on_terminal, print_json, shown

__all__ = ["do", "pull"]

SNAPSHOT = Method(
    "nexus.router.v1.RouterService",
    "WatchSnapshot",
    router_pb2.WatchSnapshotRequest,
    router_pb2.WatchSnapshotResponse,
)
SNAPSHOT_SECONDS = 5.0
DOING = {"load": "Loading", "unload": "Unloading", "delete": "Deleting"}
DONE = {"load": "loaded", "unload": "unloaded", "delete": "deleted"}
GIB = 2**30


async def do(layout: Layout, what: str, model: str, backend: str, *, as_json: bool) -> None:
    """Loads, unloads or deletes."""
    async with _reached(layout, what, model, backend) as (peer, chosen):
        waiting = Text(f"{DOING[what]} {shown(model)}")
        with nullcontext() if as_json or not on_terminal() else console.status(waiting):
            done = await perform(peer, chosen, ABILITIES[what])
    if as_json:
        told = {"model": done.model, "backend": done.backend, "instance": done.instance, "state": DONE[what]}
        print_json({**told, "memory_bytes": done.size} if done.size else told)
        return
    memory = f", in {done.size / GIB:.1f} GB" if done.size else ""
    console.print(f"{done.model} is {DONE[what]} at {done.backend}{memory}.")


async def pull(layout: Layout, model: str, backend: str, *, as_json: bool) -> None:
    """Shows how it gets on: bars on a terminal, a line for each phase elsewhere."""
    async with _reached(layout, "pull", model, backend) as (peer, chosen):
        show = Quiet() if as_json else Bars() if on_terminal() else Lines()
        async with aclosing(pulled(peer, chosen)) as steps:
            with show:
                async for step in steps:
                    show.step(step)
    if as_json:
        print_json({"model": model, "backend": chosen.target.backend, "state": "pulled"})
    else:
        console.print(f"{model} is at {chosen.target.backend}.")


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def step(self, step: lifecycle_pb2.PullProgress) -> None: ...


class Lines(Quiet):
    """One line for each phase."""

    def __init__(self) -> None:
        self._last = ""

    def step(self, step: lifecycle_pb2.PullProgress) -> None:
        if step.phase != self._last:
            self._last = step.phase
            console.print(shown(step.phase))


class Bars(Quiet):
    """One bar for each phase."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        self._progress = Progress(*columns, DownloadColumn(), TransferSpeedColumn(), console=console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, step: lifecycle_pb2.PullProgress) -> None:
        if step.phase not in self._tasks:
            self._tasks[step.phase] = self._progress.add_task(step.phase, total=None)
        self._progress.update(
            self._tasks[step.phase], completed=step.done_bytes, total=step.total_bytes or None
        )


@asynccontextmanager
async def _reached(layout: Layout, what: str, model: str, backend: str) -> AsyncIterator[tuple[Peer, Chosen]]:
    async with control(layout, "router") as router:
        request = router_pb2.WatchSnapshotRequest()
        async with router.stream(SNAPSHOT, request, timeout=SNAPSHOT_SECONDS) as call:
            first = await anext(aiter(call), None)
    if first is None:
        raise Failure("The router knows no backends yet.", "Try again in a moment; `nexus status` tells.")
    chosen = choose(first.snapshot, ABILITIES[what], model, backend)
    async with dialled(layout, chosen.target.address, chosen.target.server_name) as peer:
        yield peer, chosen
