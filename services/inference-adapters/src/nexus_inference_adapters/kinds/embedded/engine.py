"""One GGUF file in memory: llama.cpp as a child process of ours, so that its crash is never our own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from importlib import resources
from pathlib import Path
from typing import ClassVar

from nexus.registry.v1 import instance_pb2
from nexus_mesh.core import Backoff, telemetry

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import child_environment
from nexus_inference_adapters.contract import Http, Inspection
from nexus_inference_adapters.gguf import GgufFacts, read_gguf
from nexus_inference_adapters.kinds.embedded.openmp import library_path
from nexus_inference_adapters.kinds.embedded.sizing import PART, context_tokens, memory, threads
from nexus_inference_adapters.openai import OpenAICompatible
from nexus_inference_adapters.store import Sampling

__all__ = ["DEMO_MODEL", "SLOTS", "Engine", "does"]

DEMO_MODEL = "models/nexus-demo.gguf"
SLOTS = 4
START_SECONDS = 120.0
STOP_SECONDS = 2.0
STABLE_SECONDS = 60.0
MAX_PAUSE = 30.0
"""An engine that keeps dying young is started at most this often."""

log = telemetry.logger("embedded")


class Engine(OpenAICompatible):
    """`config.path`, or the model that comes with NEXUS. The child is restarted with growing pauses when it dies."""

    kind: ClassVar[str] = "embedded"

    def __init__(
        self,
        config: BackendConfig,
        http: Http,
        sampling: Sampling | None = None,
        part: int = PART,
    ) -> None:
        """`sampling`: for requests that say nothing of it; else it is llama.cpp's own.

        `part`: contexts take at most one in so many bytes of the machine's memory.
        """
        super().__init__(config, http)
        self._sampling = sampling
        self._part = part
        self._key = secrets.token_urlsafe(32)
        self._keeper: asyncio.Task[None] | None = None
        self._trouble: Inspection | None = _starting("The engine is starting.")
        self._stack = contextlib.ExitStack()

    @property
    def is_up(self) -> bool:
        """Whether it can be asked without a look at it first."""
        return self._trouble is None and self.server is not None

    @property
    def broken(self) -> str:
        """Why it cannot serve until somebody mends something; empty = it can, or may soon."""
        failed = self._trouble is not None and self._trouble.state == instance_pb2.STATE_UNHEALTHY
        return self._trouble.reason if failed and self._trouble else ""

    async def open(self) -> None:
        self._keeper = asyncio.create_task(self._keep_running(), name=f"embedded {self.config.name}")

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._stack.close()

    async def inspect(self) -> Inspection:
        return self._trouble or await super().inspect()

    async def _keep_running(self) -> None:
        backoff = Backoff(limit=MAX_PAUSE)
        while True:
            try:
                await self._run_once(backoff)
            except TimeoutError:
                self._trouble = _failed(f"The engine did not start within {START_SECONDS:g} seconds.")
            except OSError as error:
                self._trouble = _failed(f"The model file cannot be read: {error.strerror}.")
            except ValueError as error:
                self._trouble = _failed(f"The model cannot be served: {error}.")
            if self._trouble is not None:
                log.warning("engine is down", backend=self.config.name, reason=self._trouble.reason)
            await backoff.wait()

    async def _run_once(self, backoff: Backoff) -> None:
        """Starts the child and stays until it ends."""
        path = self.config.path or Path(
            self._stack.enter_context(resources.as_file(resources.files(__package__ or "") / DEMO_MODEL))
        )
        facts = await asyncio.to_thread(read_gguf, path)
        self.config = self.config.model_copy(update={"operations": does(self.config, facts)})
        with library_path() as found:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "nexus_inference_adapters.embedded_server",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
                env=child_environment() | found,
            )  # fmt: skip
            await self._attend(child, path, facts, backoff)

    async def _attend(
        self, child: asyncio.subprocess.Process, path: Path, facts: GgufFacts, backoff: Backoff
    ) -> None:
        try:
            await self._give_order(child, path, facts)
            self._trouble, started = None, time.monotonic()
            code = await child.wait()
            self._trouble = _starting(f"The engine ended with code {code}; it is being started again.")
            if time.monotonic() - started > STABLE_SECONDS:
                backoff.reset()
        finally:
            self.http = self.http.at("", _no_key)
            self.server = None
            await _end(child)

    async def _give_order(self, child: asyncio.subprocess.Process, path: Path, facts: GgufFacts) -> None:
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        slots = self.config.max_concurrency or SLOTS
        order = {
            "path": str(path),
            "name": self.config.model_name or facts.name,
            "context_tokens": self.config.context_tokens
            or context_tokens(facts, slots, memory() // self._part),
            "slots": slots,
            "threads": threads(),
            "key": self._key,
            "embeds": facts.embeds,
            "sampling": None if self._sampling is None else self._sampling.model_dump(),
        }
        child.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(START_SECONDS):
            await child.stdin.drain()
            report = await child.stdout.readline()
        told = json.loads(report) if report else {"problem": _not_loaded(path, facts)}
        if "problem" in told:
            raise ValueError(told["problem"])
        self.http = self.http.at(told["url"], lambda: self._key)


def does(config: BackendConfig, facts: GgufFacts) -> tuple[str, ...]:
    """The kinds of work a model does, by the operator's word or its file's."""
    return config.operations or (("embedding",) if facts.embeds else ("chat", "completion"))


def _starting(reason: str) -> Inspection:
    """Trouble that may be over soon: whoever waits goes on waiting."""
    return Inspection(instance_pb2.STATE_STARTING, reason)


def _failed(reason: str) -> Inspection:
    """Trouble that lasts until somebody mends the file or the machine, though it is tried again and again."""
    return Inspection(instance_pb2.STATE_UNHEALTHY, reason)


def _not_loaded(path: Path, facts: GgufFacts) -> str:
    """llama.cpp does not tell why. A file that is whole is mostly of an architecture newer than llama.cpp."""
    return f"llama.cpp could not load {path.name}, a model of the architecture '{facts.architecture[:64]}'"


def _no_key() -> None:
    """Nobody listens, so there is no key."""


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    child.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
