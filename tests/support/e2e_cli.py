"""The `nexus` command as a user has it: a process of its own, in a home of its own, with no environment of ours."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
from support.waiting import eventually

NEXUS = Path(sysconfig.get_path("scripts")) / "nexus"
BOUND = 60.0


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def assert_refused(self, *words: str) -> None:
        """It failed in a sentence for people, without a traceback, that has these words in it."""
        told = self.out + self.err
        assert self.code != 0, told
        assert "Traceback" not in told, told
        missing = [word for word in words if word.lower() not in " ".join(told.split()).lower()]
        assert not missing, (missing, told)


def environment(home: Path) -> dict[str, str]:
    """The model in the box is the small one: what is tested is the mesh, and it answers at once."""
    return as_installed(home) | {"NEXUS_ADAPTER_BUILTIN": "nexus-demo"}


def as_installed(home: Path) -> dict[str, str]:
    """Nothing is said of models: the real one is served, whose weights come with the environment."""
    return {"PATH": os.defpath, "HOME": str(home), "TERM": "dumb"}


async def nexus(
    home: Path, *arguments: str, given: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> Ran:
    """Runs `nexus ARGUMENTS --home HOME` to its end."""
    return await command(home, *arguments, "--home", str(home), given=given, environment=environment)


async def command(
    home: Path, *arguments: str, given: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> Ran:
    """Runs `nexus ARGUMENTS` to its end, in the environment of somebody who lives in `home`, and more variables.

    `given` is what it finds at its standard input.
    """
    process = await _spawn(home, *arguments, stdin=asyncio.subprocess.PIPE, more=environment)
    try:
        async with asyncio.timeout(BOUND):
            out, err = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@dataclass
class Running:
    """A `nexus up` or `nexus join` that runs. `said` is its first JSON object on stdout."""

    process: asyncio.subprocess.Process
    said: dict[str, Any]
    family: list[psutil.Process]

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signals it and waits; returns the exit code."""
        self.family = _family(self.process.pid)
        self.process.send_signal(number)
        async with asyncio.timeout(BOUND):
            return await self.process.wait()

    async def assert_gone(self) -> None:
        """Nothing it ever started is left."""
        await eventually(lambda: not self.survivors(), what=f"the end of {self.survivors()}")

    def survivors(self) -> list[psutil.Process]:
        return [one for one in self.family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@asynccontextmanager
async def running(home: Path, *arguments: str, via: Sequence[str] = ()) -> AsyncIterator[Running]:
    """Starts `nexus ARGUMENTS --json` and waits for what it says when it is ready; never leaves anything behind.

    `via` is a command that runs it elsewhere, as `ip netns exec NAME` does.
    """
    process = await _spawn(home, *arguments, "--json", via=via)
    started = Running(process, {}, [])
    try:
        async with asyncio.timeout(BOUND):
            started.said = await _first_object(process)
        started.family = _family(process.pid)
        yield started
    finally:
        if process.returncode is None:
            await started.stop(signal.SIGTERM)
        for orphan in started.survivors():
            orphan.kill()


async def _spawn(
    home: Path,
    *arguments: str,
    via: Sequence[str] = (),
    stdin: int = asyncio.subprocess.DEVNULL,
    more: Mapping[str, str] = MappingProxyType({}),
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *via, NEXUS, *arguments, env={**environment(home), **more}, stdin=stdin,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _first_object(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Reads lines until they make a JSON object."""
    assert process.stdout is not None
    assert process.stderr is not None
    text = ""
    while line := await process.stdout.readline():
        text += line.decode()
        try:
            return json.loads(text)
        except ValueError:
            continue
    raise AssertionError(f"it ended without being ready: {text}{(await process.stderr.read()).decode()}")


def _family(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
