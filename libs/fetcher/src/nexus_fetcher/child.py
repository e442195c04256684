"""The process that fetches. It reads its rules and its orders from its input, and ends with that."""

from __future__ import annotations

import asyncio
import ctypes
import json
import resource
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from nexus_fetcher.fetching import Fetching
from nexus_fetcher.frames import FETCHED, HEAD, LONGEST_ORDER, UNFETCHED
from nexus_fetcher.types import AT_ONCE, Rules, Unfetched

__all__ = ["main"]

MEMORY = 1 << 30
"""Of address space: more than all the largest answers at once need, copies included."""
OPEN_FILES = 96
CPU_SECONDS = 30
"""From the beginning of each fetch."""
STACK = 512 << 10
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def confine() -> None:
    """From now on: so much memory, no file written, no core, no more rights; and it ends with who started it."""
    for what, most in (
        *([(resource.RLIMIT_AS, MEMORY)] if sys.platform == "linux" else []),  # a Mac takes none
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def one_more() -> None:
    """Time for what begins now; a process that takes more is ended by the system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


class Orders:
    """Those that run, by number."""

    def __init__(self, fetching: Fetching, out: BinaryIO) -> None:
        self._fetching = fetching
        self._out = out
        self._running: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def take(self, order: dict[str, object]) -> None:
        number = int(str(order["number"]))
        if "url" not in order:
            if (task := self._running.get(number)) is not None:
                task.cancel()
            return
        one_more()
        task = asyncio.create_task(self._run(number, order))
        self._running[number] = task
        task.add_done_callback(lambda _: self._running.pop(number, None))

    async def _run(self, number: int, order: dict[str, object]) -> None:
        asked = str(order["accepts"])
        try:
            got = await self._fetching.fetch(
                str(order["url"]), frozenset(asked.split(", ")), asked, int(str(order["most"]))
            )
        except Unfetched as error:
            await self._answer(number, UNFETCHED, error.why, b"")
        else:
            await self._answer(number, FETCHED, got.mime_type, got.data)

    async def _answer(self, number: int, ended: int, text: str, data: bytes) -> None:
        told = text.encode()[:1024]
        async with self._turn:
            await asyncio.to_thread(self._write, HEAD.pack(number, ended, len(told), len(data)) + told, data)

    def _write(self, head: bytes, data: bytes) -> None:
        self._out.write(head)
        self._out.write(data)
        self._out.flush()


async def serve() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))
    source = asyncio.StreamReader(limit=LONGEST_ORDER)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin)
    rules = Rules.read(await source.readline())
    orders = Orders(Fetching(rules), sys.stdout.buffer)
    while line := await source.readline():
        orders.take(json.loads(line))


def main() -> None:
    threading.stack_size(STACK)
    confine()
    asyncio.run(serve())


if __name__ == "__main__":
    main()
