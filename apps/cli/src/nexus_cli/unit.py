"""One supervised process: started, watched, restarted with backoff, stopped in an orderly way."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nexus_mesh.core import Backoff

from nexus_cli import logs

__all__ = ["Unit", "UnitSpec"]

STABLE_SECONDS = 10.0
LOG_LOOK_SECONDS = 2.0
WORDS_LINES = 60
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "VIRTUAL_ENV")
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class UnitSpec:
    """How to run a unit. `environment` is added to a clean one; nothing of ours leaks into children."""

    name: str
    command: Sequence[str]
    log: Path
    environment: tuple[tuple[str, str], ...] = ()
    stop_seconds: float = 40.0


class Unit:
    """A process that is kept running until told otherwise."""

    def __init__(self, spec: UnitSpec, on_change: Callable[[Unit], None] = lambda _: None) -> None:
        self.spec = spec
        self.state = "stopped"
        self.restarts = 0
        self.pid = 0
        self.held = False
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    def start(self) -> None:
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"unit {self.spec.name}")

    def hold(self) -> None:
        """From now on a dead process stays dead, until released."""
        self.held = True
        self._wanted.clear()

    def release(self) -> None:
        self.held = False
        self._wanted.set()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL when it takes too long."""
        self.hold()
        process = self._process
        if process is not None and process.returncode is None:
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(self.spec.stop_seconds):
                    await process.wait()
            except TimeoutError:
                _signal(process, signal.SIGKILL)
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._set("stopped")

    def log_tail(self, lines: int = 5) -> list[str]:
        """The last lines it logged."""
        return logs.tail(self.spec.log, lines)

    def last_words(self) -> str:
        """What its log tells of its end; may be empty."""
        return logs.last_words(logs.tail(self.spec.log, WORDS_LINES))

    async def _keep(self) -> None:
        backoff = Backoff(0.2, 30.0)
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            code = await self._run_once()
            stable = time.monotonic() - began > STABLE_SECONDS
            self._set("held" if self.held else f"ended with {code}")
            self.restarts += 1
            if stable:
                backoff.reset()  # it has proved that it can run: what ended it is over, and requests wait
            elif not self.held:
                await backoff.wait()

    async def _run_once(self) -> int:
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        environment.update(self.spec.environment)
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        logs.cap(self.spec.log)
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops things in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self.pid = self._process.pid
        self._set("running")
        return await self._ended(self._process)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """The exit code, in the end; until then its log is kept in bounds."""
        while True:
            try:
                async with asyncio.timeout(LOG_LOOK_SECONDS):
                    return await process.wait()
            except TimeoutError:
                await asyncio.to_thread(logs.cap, self.spec.log)

    def _set(self, state: str) -> None:
        self.state = state
        self._on_change(self)


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """A supervisor that is killed leaves no orphans."""
    assert _libc is not None  # noqa: S101 - only used on Linux
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
