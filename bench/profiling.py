"""Where gateway and adapter spend their time under load, sampled by py-spy (installed into bench/.cache)."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.backends import open_backend
from bench.measure import streams, whole_answers
from bench.nexus import ON_THE_PATH, nexus
from bench.peers import CACHE, install
from bench.processes import Unusable, environment
from bench.subjects import Subject

__all__ = ["profile"]

SECONDS = 12
SHOWN = 25
PACKAGE = "py-spy"


async def profile(folder: Path, backend_kind: str) -> None:
    """Prints, for whole answers and for streams, the functions each process spends most of its CPU in."""
    program = CACHE / "py-spy" / "bin" / "py-spy"
    if not program.exists():
        pip = [CACHE / "py-spy" / "bin" / "python", "-m", "pip", "install", "--quiet", PACKAGE]
        await install("py-spy", [sys.executable, "-m", "venv", "py-spy"], pip)
    async with open_backend(backend_kind, folder) as backend, nexus(backend, folder) as subject:
        loads = {
            "whole answers, 32 connections": whole_answers(subject, connections=32, seconds=SECONDS + 2),
            "200 streams": streams(subject, count=200, arrive=1, chunks=1000, deadline=SECONDS + 2),
        }
        for title, load in loads.items():
            running = asyncio.ensure_future(load)
            await asyncio.sleep(1.5)
            await asyncio.gather(*(_sample(program, folder, subject, role) for role in ON_THE_PATH))
            figures = await running
            print(f"\n# {title}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
            for role in ON_THE_PATH:
                _print(role, (folder / f"{role}.stacks").read_text().splitlines())


async def _sample(program: Path, folder: Path, subject: Subject, role: str) -> None:
    pid = str(subject.pids[role][0])
    process = await asyncio.create_subprocess_exec(
        str(program), "record", "--pid", pid, "--duration", str(SECONDS), "--rate", "200", "--nonblocking",
        "--function", "--format", "raw", "--output", str(folder / f"{role}.stacks"),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode:
        raise Unusable(f"py-spy cannot watch {role}: {said.decode(errors='replace').strip()[-300:]}")


def _print(role: str, stacks: Iterable[str]) -> None:
    own, below, packages, total = Counter[str](), Counter[str](), Counter[str](), 0
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        names = frames.split(";")
        total += int(count)
        own[names[-1]] += int(count)
        packages[_package(names[-1])] += int(count)
        for name in set(names):
            below[name] += int(count)
    for title, counted in (("by package", packages), ("own time", own), ("with what it calls", below)):
        print(f"\n## {role}: {title}, % of {total} samples")
        for name, count in counted.most_common(SHOWN):
            print(f"{100 * count / max(1, total):6.1f}  {name}")


def _package(frame: str) -> str:
    """Of `send (uvicorn/protocols/http/httptools_impl.py)`: uvicorn. Time in C counts for the Python that called it."""
    return frame.rpartition("(")[2].partition("/")[0].rstrip(")")
