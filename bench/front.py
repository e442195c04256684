"""The front door: what the small commands cost, and the pages that the edge shows of itself."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from pathlib import Path

from bench.client import Endpoint, closed_loop
from bench.measure import NS_PER_MS, Figures, percentile
from bench.nexus import COMMAND, NexusUp, up
from bench.processes import Unusable, Usage, environment

__all__ = ["front"]

LINES = {
    "version": ("version",),
    "help": ("--help",),
    "tab, a command": ("__complete", "st"),
    "tab, a model": ("__complete", "load", ""),
}
PAGES = {
    "/": (("Accept", "text/html"),),
    "/openapi.json": (),
}
NAMES_SECONDS = 30.0
PAGE_SECONDS = 30.0


async def front(folder: Path, times: int, requests: int) -> Figures:
    """Milliseconds, medians: each command run `times` times beside an idle mesh, each page asked for `requests` times
    over one connection. A command's CPU is its process's; a page's is the gateway's.
    """
    async with up(folder / "front") as mesh:
        await _named(mesh)
        figures: Figures = {}
        for name, words in LINES.items():
            runs = [await asyncio.to_thread(_run, mesh, words) for _ in range(times + 1)][1:]
            figures[f"{name}, wall_ms"] = statistics.median(wall for wall, _ in runs)
            figures[f"{name}, cpu_ms"] = statistics.median(cpu for _, cpu in runs)
        for path, headers in PAGES.items():
            usage = Usage({"gateway": mesh.pids["gateway"]})
            endpoint = Endpoint(mesh.host, mesh.port, path, headers)
            calls = await closed_loop(endpoint, None, connections=1, seconds=PAGE_SECONDS, limit=requests)
            if calls.errors or not calls.latencies:
                raise Unusable(f"GET {path} was not answered: {calls.errors}")
            figures[f"GET {path}, wall_ms"] = percentile(calls.latencies, 0.5) / NS_PER_MS
            figures[f"GET {path}, cpu_ms"] = usage.read()["gateway"] * 1e3 / len(calls.latencies)
    return figures


async def _named(mesh: NexusUp) -> None:
    """Waits until Tab has something to offer."""
    until = time.monotonic() + NAMES_SECONDS
    while not (mesh.layout.home / "run" / "names.json").exists():
        if time.monotonic() > until:
            raise Unusable("The mesh keeps no names for completion.")
        await asyncio.sleep(0.1)


def _run(mesh: NexusUp, words: tuple[str, ...]) -> tuple[float, float]:
    """Wall and CPU of one command, in milliseconds. Raises Unusable when it fails or says nothing."""
    given = environment(NEXUS_HOME=str(mesh.layout.home))
    began = time.monotonic()
    with subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, env=given) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not said:
        raise Unusable(f"nexus {' '.join(words)} ended with {process.returncode}, and said {said!r}")
    return (time.monotonic() - began) * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3
