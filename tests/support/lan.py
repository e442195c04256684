"""A local network of its own, of two machines with a cable between them: network namespaces that need no root.

On it every port is free, so a documented command runs as it stands; nothing on it reaches the world, and nothing of the
world reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil
from support.waiting import eventually

__all__ = ["Lan", "Machine", "lan", "why_not"]

LINK = "lan0"
IP = shutil.which("ip") or "/usr/sbin/ip"
HOLDER = ("sh", "-c", "echo up; exec cat")  # holds a namespace until its standard input is closed


@dataclass(frozen=True)
class Machine:
    """One end of the cable."""

    pid: int
    """Of the process that holds its namespace."""
    address: str

    @property
    def via(self) -> tuple[str, ...]:
        """What a command is put behind to run on this machine."""
        return ("nsenter", f"--target={self.pid}", "--user", "--net", "--preserve-credentials", "--")

    async def ip(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.via, IP, *arguments, stderr=asyncio.subprocess.PIPE
        )
        _, told = await process.communicate()
        assert process.returncode == 0, f"ip {' '.join(arguments)}: {told.decode()}"

    def processes(self) -> list[psutil.Process]:
        """Whatever runs on it, without its holder."""
        here = os.readlink(f"/proc/{self.pid}/ns/net")
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if process.pid != self.pid and os.readlink(f"/proc/{process.pid}/ns/net") == here:
                    found.append(process)
        return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    async def end_processes(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: not self.processes(), timeout=20)
                return


@dataclass(frozen=True)
class Lan:
    first: Machine
    second: Machine


async def why_not() -> str:
    """Why there can be none here; empty when there can."""
    if not all(map(shutil.which, ("unshare", "nsenter"))):
        return "no unshare or nsenter (util-linux) on this machine"
    if not os.access(IP, os.X_OK):
        return "no ip (iproute2) on this machine"
    process = await asyncio.create_subprocess_exec(
        "unshare", "-rn", IP, "link", "add", "try0", "type", "veth", "peer", "name", "try1",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    return f"a user may not make a network here: {told.decode().strip()}" if process.returncode else ""


@asynccontextmanager
async def lan() -> AsyncIterator[Lan]:
    """192.168.1.10 and 192.168.1.20, as in docs/machines.md. Ends what still runs on them."""
    async with _held("unshare", "--map-root-user", "--net") as pid:
        first = Machine(pid, "192.168.1.10")
        async with _held(*first.via, "unshare", "--net") as other:
            second = Machine(other, "192.168.1.20")
            await first.ip("link", "add", LINK, "type", "veth", "peer", "name", LINK, "netns", str(other))
            for machine in (first, second):
                await machine.ip("link", "set", "lo", "up")
                await machine.ip("address", "add", f"{machine.address}/24", "dev", LINK)
                await machine.ip("link", "set", LINK, "up")
            try:
                yield Lan(first, second)
            finally:
                await asyncio.gather(first.end_processes(), second.end_processes())


@asynccontextmanager
async def _held(*via: str) -> AsyncIterator[int]:
    """The process that holds the namespace which `via` makes."""
    process = await asyncio.create_subprocess_exec(
        *via, *HOLDER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        yield process.pid
    finally:
        await process.communicate(b"")
