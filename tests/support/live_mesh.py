"""A whole mesh of real processes, as `nexus up` runs it, in a folder of the test's own."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.plan import Options
from nexus_cli.progress import Progress
from nexus_cli.supervisor import Supervisor, healths
from nexus_cli.up import running_mesh
from support.waiting import eventually

READY_SECONDS = 60.0


@dataclass(slots=True)
class LiveMesh:
    """The running processes and where to reach them."""

    layout: Layout
    file: MeshFile
    supervisor: Supervisor

    @property
    def http(self) -> str:
        return self.file.http

    @property
    def base_url(self) -> str:
        return f"{self.file.http}/v1"

    def pid(self, unit: str) -> int:
        return self.supervisor.units[unit].pid

    def kill(self, *units: str, by: signal.Signals = signal.SIGKILL) -> None:
        """kill -9, or another signal; what ends by it stays dead until revived."""
        for name in units:
            self.supervisor.units[name].hold()
            os.kill(self.pid(name), by)

    def running(self, unit: str) -> bool:
        return self.supervisor.units[unit].state == "running"

    def revive(self, *units: str) -> None:
        for name in units:
            self.supervisor.units[name].release()

    async def refit(self, unit: str, command: Sequence[str]) -> None:
        """Kills a unit and runs it by another command line from now on."""
        self.kill(unit)
        await eventually(lambda: not self.running(unit), timeout=10, what=f"the end of {unit}")
        process = self.supervisor.units[unit]
        process.spec = replace(process.spec, command=command)
        self.revive(unit)
        await eventually(lambda: self.running(unit), timeout=10, what=f"{unit} running again")

    async def healths(self) -> dict[str, str]:
        """By service: SERVING, or what is wrong, as `nexus doctor` sees it."""
        return await healths(self.layout)

    async def readiness(self) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.http}/readyz") as answer:
            return answer.status, await answer.json()


def backend(name: str, url: str, **more: Any) -> str:
    """A [[backends]] table of nexus.toml."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(
        ["[[backends]]", f'name = "{name}"', 'kind = "openai_compatible"', f'url = "{url}"', *lines, ""]
    )


@asynccontextmanager
async def live_mesh(home: Path, config: str = "", **options: Any) -> AsyncIterator[LiveMesh]:
    """Starts a mesh with the text of a nexus.toml, waits until it routes, stops it in order at the end."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "nexus.toml").write_text(config)
    wanted = Options(
        home=home, port=0, **{"discovery": False, "speech": False, "painter": False, "ocr": False, **options}
    )
    async with running_mesh(wanted, Progress(quiet=True)) as (file, supervisor):
        mesh = LiveMesh(Layout(home), file, supervisor)

        await eventually(lambda: _ready(mesh), timeout=READY_SECONDS, what="the mesh routing to a model")
        yield mesh


async def _ready(mesh: LiveMesh) -> bool:
    broken = mesh.supervisor.broken()
    assert broken is None, (broken.spec.name, broken.log_tail(20))
    try:
        return (await mesh.readiness())[0] == 200
    except aiohttp.ClientError:
        return False


__all__ = ["LiveMesh", "backend", "eventually", "live_mesh"]
