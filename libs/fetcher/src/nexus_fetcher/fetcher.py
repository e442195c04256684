"""The fetcher as its callers see it: a process that the first URL starts, and that ends when none came for a while."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import count

from nexus_mesh.core import MeshError, Reason

from nexus_fetcher.frames import FETCHED, HEAD
from nexus_fetcher.types import AT_ONCE, LARGEST, SECONDS, Fetched, Rules, Unfetched

__all__ = ["Fetcher"]

IDLE_SECONDS = 30.0
WAIT_SECONDS = 10.0
"""For a turn."""
MARGIN = 3.0
"""Seconds beyond those a fetch may take, the start of the process among them, after which it hangs."""
STUCK = "could not be fetched: the fetching process ended. Send the request again"
PASSED_ON = (
    "PATH",
    "VIRTUAL_ENV",
    "LANG",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
OWN = {"MALLOC_ARENA_MAX": "2", "RES_OPTIONS": "timeout:2 attempts:1"}
"""Address space is counted, and a lookup can't be called back."""


class _Process:
    """One child, until it ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Fetched]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="fetcher")

    @property
    def is_running(self) -> bool:
        return not self._reading.done() and self._process.returncode is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, said: dict[str, object]) -> None:
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(json.dumps(said).encode() + b"\n")

    async def fetch(self, order: Mapping[str, object]) -> Fetched:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self.tell({"number": number, **order})
            async with asyncio.timeout(SECONDS + MARGIN):
                return await answer
        except TimeoutError:
            self._kill()
            raise Unfetched(STUCK) from None
        finally:
            if not answer.done() or answer.cancelled():
                self.tell({"number": number})
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        out = self._process.stdout
        assert out is not None  # noqa: S101 - it was started with one
        try:
            while True:
                number, ended, text, size = HEAD.unpack(await out.readexactly(HEAD.size))
                if size > LARGEST:
                    break
                told = (await out.readexactly(text)).decode(errors="replace")
                data = await out.readexactly(size)
                if (answer := self._waiting.get(number)) is None or answer.done():
                    continue
                if ended == FETCHED:
                    answer.set_result(Fetched(data, told))
                else:
                    answer.set_exception(Unfetched(told))
        except (EOFError, OSError):
            pass  # it is gone
        finally:
            self._kill()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Unfetched(STUCK))

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        self._kill()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._process.communicate()


class Fetcher:
    """Of one event loop. It costs nothing before the first URL comes."""

    def __init__(self, rules: Rules | None = None, *, idle: float = IDLE_SECONDS) -> None:
        self._rules = rules or Rules()
        self._idle = idle
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._starting = asyncio.Lock()
        self._running = 0
        self._process: _Process | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None and self._process.is_running else None

    async def fetch(self, url: str, *, accepts: AbstractSet[str], most: int = LARGEST) -> Fetched:
        """At most `most` bytes of one of these media types. Raises Unfetched, and OVERLOAD when too many fetch."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise MeshError(
                Reason.OVERLOAD,
                f"This gateway fetches {AT_ONCE} URLs at once, and others wait already: send the content itself, or "
                "try again shortly.",
                retry_after=SECONDS,
            ) from None
        self._running += 1
        try:
            process = await self._started()
            order = {"url": url, "accepts": ", ".join(sorted(accepts)), "most": min(most, LARGEST)}
            return await process.fetch(order)
        finally:
            self._running -= 1
            self._turns.release()
            if not self._running and self._process is not None:
                self._leaving = asyncio.get_running_loop().call_later(self._idle, self._leave)

    async def close(self) -> None:
        """Ends the process, and waits for that."""
        self._leave()
        await asyncio.gather(*self._ending)

    async def _started(self) -> _Process:
        if self._leaving is not None:
            self._leaving.cancel()
        async with self._starting:
            if self._process is not None and not self._process.is_running:
                self._leave()
            if self._process is None:
                self._process = await self._start()
            return self._process

    async def _start(self) -> _Process:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | OWN
        process = _Process(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "nexus_fetcher.child",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=environment,
            )
        )  # fmt: skip
        process.tell(self._rules.written())
        return process

    def _leave(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        process, self._process = self._process, None
        if process is not None:
            ending = asyncio.get_running_loop().create_task(process.end(), name="end of the fetcher")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
