"""What is read of the mesh's processes while they are soaked."""

from __future__ import annotations

import asyncio
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import psutil
from support.live_mesh import LiveMesh

__all__ = ["JUDGED", "Gauges", "breakers_open"]

JUDGED = ("gateway", "adapter")
"""The processes on the path of requests; of the others the memory is told only."""
MEBIBYTE = 1 << 20
REST_SECONDS = 8
"""Longer than the adapter keeps connections that nobody uses."""
LOOK = 0.25
OPEN = re.compile(r"^nexus_gateway_breakers_open (\S+)$", re.MULTILINE)


@dataclass
class Gauges:
    """`memory`: one reading of each process a second, in MiB."""

    mesh: LiveMesh
    memory: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._processes = {
            name: psutil.Process(self.mesh.pid(name)) for name in self.mesh.supervisor.units if name != "etcd"
        }

    async def watch(self) -> None:
        """Reads once a second until cancelled."""
        while True:
            self.read()
            await asyncio.sleep(1)

    def read(self) -> None:
        for name in self._processes:
            self.memory.setdefault(name, []).append(self._resident(name))

    def files(self, name: str) -> int:
        return self._processes[name].num_fds()

    async def files_at_rest(self) -> dict[str, int]:
        """The least number of open files of each process while nothing is asked, after a while of that."""
        await asyncio.sleep(REST_SECONDS)
        least = {name: self.files(name) for name in JUDGED}
        for _ in range(round(REST_SECONDS / LOOK)):
            await asyncio.sleep(LOOK)
            least = {name: min(count, self.files(name)) for name, count in least.items()}
        return least

    def _resident(self, name: str) -> float:
        return self._processes[name].memory_info().rss / MEBIBYTE

    def restarted(self) -> list[str]:
        """The services that are not the processes they were."""
        return [name for name, process in self._processes.items() if self.mesh.pid(name) != process.pid]

    def now(self) -> str:
        return "; ".join(
            f"{name} {self._resident(name):.1f} MiB, {self.files(name)} files" for name in JUDGED
        )


def medians(readings: Sequence[float]) -> tuple[float, float]:
    """Of the first tenth and of the last."""
    tenth = max(1, len(readings) // 10)
    return statistics.median(readings[:tenth]), statistics.median(readings[-tenth:])


async def breakers_open(mesh: LiveMesh) -> int:
    """How many targets the gateway leaves out, or is about to try, for what they did."""
    async with aiohttp.ClientSession() as session, session.get(f"{mesh.http}/metrics") as answer:
        found = OPEN.search(await answer.text())
    assert found is not None, "the gateway has no gauge of its breakers"
    return int(float(found[1]))
