"""The processes that work for us, as their parent sees them: started when there is a job, gone when there is none."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO

from nexus_inference_adapters.children.environment import child_environment
from nexus_inference_adapters.children.frames import DONE, FAILED, FRAME_BYTES, HEAD, Frame

__all__ = ["Job", "Workers"]

IDLE_SECONDS = 60.0
LENGTH = struct.Struct(">I")


@dataclass(slots=True, eq=False)
class _Worker:
    process: asyncio.subprocess.Process
    leaving: asyncio.TimerHandle | None = None

    async def end(self) -> None:
        """Kills it, and reads what it had still said: a pipe that is not read to its end is never closed."""
        if self.leaving is not None:
            self.leaving.cancel()
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


class Job:
    """One order at one worker."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self.ended = False

    async def feed(self, data: bytes) -> None:
        """More to work on, after the order: a length, and so many bytes; nothing = that was all. A worker that is gone
        is told of by `read`."""
        stdin = self._worker.process.stdin
        assert stdin is not None  # noqa: S101 - it was started with one
        with suppress(ConnectionError):
            stdin.write(LENGTH.pack(len(data)) + data)
            await stdin.drain()

    async def read(self) -> Frame:
        """What comes next, to the one that ends the job. Raises EOFError when the worker is gone."""
        out = self._worker.process.stdout
        assert out is not None  # noqa: S101 - it was started with one
        try:
            kind, length = HEAD.unpack(await out.readexactly(HEAD.size))
            if length > FRAME_BYTES and kind != DONE:
                raise EOFError
            data = await out.readexactly(length)
        except asyncio.IncompleteReadError:
            raise EOFError from None
        self.ended = kind in (DONE, FAILED)
        return Frame(kind, data)

    async def signal(self) -> int:
        """What ended the worker, once it is gone; 0 = it went by itself."""
        return max(0, -await self._worker.process.wait())


class Workers:
    """Of one program. Each has one job at a time; `idle`: seconds one stays without any."""

    def __init__(self, command: Sequence[str], *, idle: float = IDLE_SECONDS) -> None:
        """`command`: what the interpreter is told to run."""
        self._command = tuple(command)
        self._idle_seconds = idle
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[int]:
        """Their process ids."""
        return [one.process.pid for one in (*self._idle, *self._busy)]

    @asynccontextmanager
    async def job(self, order: dict[str, object], files: Sequence[IO[bytes]] = ()) -> AsyncIterator[Job]:
        """An order that is being worked on, and files that follow it, each to its end. Whoever leaves before the job's
        end ends the worker with it. One that was given files works for nobody after: they may be anybody's."""
        worker = self._take() or await self._start()
        self._busy.add(worker)
        job = Job(worker)
        try:
            stdin = worker.process.stdin
            assert stdin is not None  # noqa: S101 - it was started with one
            with suppress(ConnectionError):  # it is gone: reading tells
                stdin.write(json.dumps(order).encode() + b"\n")
                await stdin.drain()
                for file in files:
                    while piece := await asyncio.to_thread(file.read, FRAME_BYTES):
                        stdin.write(piece)
                        await stdin.drain()
            yield job
        finally:
            self._busy.discard(worker)
            if job.ended and not files and worker.process.returncode is None:
                self._keep(worker)
            else:
                self._end(worker)

    async def close(self) -> None:
        """From now on nobody stays without a job."""
        self._idle_seconds = 0.0
        await self.rest()

    async def rest(self) -> None:
        """Ends those without a job, and waits for all that have been ended."""
        while self._idle:
            self._end(self._idle.pop())
        await asyncio.gather(*self._ending)

    def _take(self) -> _Worker | None:
        while self._idle:
            worker = self._idle.pop()
            if worker.leaving is not None:
                worker.leaving.cancel()
            if worker.process.returncode is None:
                return worker
        return None

    def _keep(self, worker: _Worker) -> None:
        if not self._idle_seconds:
            self._end(worker)
            return
        worker.leaving = asyncio.get_running_loop().call_later(self._idle_seconds, self._leave, worker)
        self._idle.append(worker)

    def _leave(self, worker: _Worker) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        ending = asyncio.get_running_loop().create_task(worker.end(), name="end of a worker")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _start(self) -> _Worker:
        return _Worker(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", *self._command,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=child_environment(), limit=FRAME_BYTES,
            )
        )  # fmt: skip
