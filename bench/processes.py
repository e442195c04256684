"""Child processes of a bench: started, watched until they answer, metered, and always stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

__all__ = [
    "Unusable",
    "Usage",
    "cpu_seconds",
    "environment",
    "free_port",
    "resident",
    "running",
    "until_open",
]

STOP_SECONDS = 20.0
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")


class Unusable(Exception):
    """Something a scenario needs is not there; the text says what to do."""


class Usage:
    """CPU seconds that groups of processes spend from here to `read()`; children count, but for our own."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups
        self._before = {name: cpu_seconds(pids) for name, pids in groups.items()}

    def read(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) - self._before[name] for name, pids in self._groups.items()}


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time so far."""
    total = 0.0
    for process in _family(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def resident(pids: Sequence[int]) -> int:
    """Bytes of memory in RAM, children included."""
    total = 0
    for process in _family(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _family(pids: Sequence[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *(process.children(recursive=True) if pid != os.getpid() else ())]
    return found


def environment(**more: str) -> dict[str, str]:
    """A clean environment for a child: only what programs need to be found and to speak."""
    return {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ} | more


def free_port() -> int:
    """A loopback port nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process that writes to `log`; SIGTERM at the end, SIGKILL when it does not listen."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
            env=dict(env if env is not None else environment()), cwd=cwd, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends a process we started."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until_open(port: int, process: asyncio.subprocess.Process, log: Path, seconds: float = 180) -> None:
    """Waits until something listens on the port. Raises Unusable with the log's end when nothing does."""
    for _ in range(int(seconds * 10)):
        if process.returncode is not None:
            break
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise Unusable(f"{log.stem} does not start:\n{tail}")
