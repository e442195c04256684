"""The process that finds speech, and what is asked of it."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections import deque
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from nexus_mesh.core import MeshError, Reason, logger

__all__ = ["Detector", "Listening", "can_detect"]

ORDER, ANSWER = struct.Struct("<IBI"), struct.Struct("<I")
FORGET = 0
ANSWER_SECONDS = 20.0
"""For an answer, its start included."""
CHILD_VARIABLES = ("PATH", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

log = logger("gateway.detecting")


@cache
def _model() -> Path | None:
    """Silero's model, as faster-whisper brings it. Nothing of that is imported."""
    if find_spec("onnxruntime") is None or find_spec("numpy") is None:
        return None
    found = find_spec("faster_whisper")
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    models = [
        model for folder in folders for model in sorted(Path(folder, "assets").glob("silero_vad_v*.onnx"))
    ]
    return models[-1] if models else None


def can_detect() -> bool:
    """Whether all that it needs is installed."""
    return _model() is not None


class Detector:
    """One process for all who ask."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._asked: deque[asyncio.Future[list[float]]] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._numbers = count(1)

    @property
    def pid(self) -> int | None:
        """Of the process, None while there is none."""
        return None if self._process is None else self._process.pid

    def listen(self) -> Listening:
        """For one sound."""
        return Listening(self, next(self._numbers))

    async def ask(self, number: int, form: int, data: bytes) -> list[float]:
        """Raises MeshError INTERNAL when nobody answers."""
        future = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                process = await self._started()
                assert process.stdin is not None  # noqa: S101 - it is a pipe
                async with self._writing:
                    self._asked.append(future)
                    process.stdin.write(ORDER.pack(number, form, len(data)) + data)
                    await process.stdin.drain()
                return await future
        except TimeoutError:
            await self.close()
            raise _lost() from None
        except OSError:
            raise _lost() from None
        finally:
            future.cancel()  # its place in the order stays

    async def close(self) -> None:
        """Ends the process. The next question starts another one."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                model = _model()
                if model is None:
                    raise MeshError(Reason.CAPABILITY_MISSING, "Nothing that finds speech is installed.")
                if self._reading is not None:
                    await asyncio.wait({self._reading})
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    str(Path(__file__).with_name("worker.py")),
                    str(model),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ},
                )
                self._reading = asyncio.create_task(self._read(self._process), name="speech detector")
            return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        out = process.stdout
        assert out is not None  # noqa: S101 - it is a pipe
        try:
            while True:
                (size,) = ANSWER.unpack(await out.readexactly(ANSWER.size))
                found = struct.unpack(f"<{size}f", await out.readexactly(4 * size))
                future = self._asked.popleft()
                if not future.done():
                    future.set_result([*found])
        except asyncio.IncompleteReadError:
            log.warning("the process that finds speech has ended", pid=process.pid)
        finally:
            if self._process is process:
                self._process = None
            if process.returncode is None:
                process.kill()
            asked, self._asked = self._asked, deque()
            for future in asked:
                if not future.done():
                    future.set_exception(_lost())


class Listening:
    """One sound."""

    def __init__(self, detector: Detector, number: int) -> None:
        self._detector = detector
        self._number = number
        self._begun = False

    async def detect(self, form: int, data: bytes) -> list[float]:
        """How likely each next window is speech. `form`: a code of WAVE files. One call at a time. Raises MeshError."""
        self._begun = True
        return await self._detector.ask(self._number, form, data)

    async def forget(self) -> None:
        """What comes from here on is another sound."""
        if self._begun:
            self._begun = False
            await self._detector.ask(self._number, FORGET, b"")


def _lost() -> MeshError:
    return MeshError(
        Reason.INTERNAL,
        "The process that finds speech has ended. Set 'turn_detection' again, or commit each turn.",
    )
