"""One Whisper model in a process of its own: started by the first recording, gone when none came for a while."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO

from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_inference_adapters.children import child_environment
from nexus_inference_adapters.contract import JsonObject, Patience

__all__ = ["Engine"]

MOST_THREADS = 4
LONGEST_LINE = 4 * 1024 * 1024
log = telemetry.logger("whisper")


class Engine:
    """Recognises one recording at a time. Whoever leaves in the middle ends the process: nothing stops it sooner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._orders: socket.socket | None = None
        self._turn = asyncio.Lock()

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def is_busy(self) -> bool:
        return self._turn.locked()

    async def load(self, patience: Patience) -> None:
        async with self._turn:
            await self._ready(patience)

    async def recognise(
        self, order: JsonObject, sound: IO[bytes], patience: Patience
    ) -> AsyncGenerator[JsonObject, None]:
        """What it says, line by line, up to the good end. Raises BACKEND_LOST when it ends before, UPSTREAM_ERROR."""
        async with self._turn:
            done = False
            try:
                process = await self._ready(patience)
                assert self._orders is not None  # noqa: S101 - it is ready
                socket.send_fds(self._orders, [json.dumps(order).encode() + b"\n"], [sound.fileno()])
                while not done:
                    told = await self._told(process, patience)
                    done = told["kind"] in ("done", "problem")
                    if told["kind"] == "problem":
                        raise MeshError(
                            Reason.UPSTREAM_ERROR, f"Whisper failed on this recording ({told['name'][:64]})."
                        )
                    yield told
            finally:
                if not done:
                    await self.close()

    async def close(self) -> None:
        process, self._process = self._process, None
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _ready(self, patience: Patience) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self.close()
        ours, theirs = socket.socketpair()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "nexus_inference_adapters.hearing.recogniser",
                str(self._folder), str(min(MOST_THREADS, os.cpu_count() or 1)),
                stdin=theirs.fileno(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=child_environment() | {"HF_HUB_OFFLINE": "1"}, limit=LONGEST_LINE,
            )  # fmt: skip
        finally:
            theirs.close()
        self._orders = ours
        while (await self._told(process, patience))["kind"] != "ready":
            pass
        return process

    async def _told(self, process: asyncio.subprocess.Process, patience: Patience) -> JsonObject:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = await patience.wait(process.stdout.readline())
        if not line.endswith(b"\n"):
            code = await process.wait()
            log.warning("whisper ended", code=code)
            raise MeshError(
                Reason.BACKEND_LOST,
                "The process that recognises speech ended before it was done; it is started again by the next request.",
            )
        return json.loads(line)
