"""NEXUS as its users start it: `nexus up`, with API keys demanded, and a key made for the bench."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from nexus_cli.layout import Layout
from nexus_mesh.core.version import VERSION
from nexus_mesh.process import run_file

from bench import answers
from bench.backends import Backend
from bench.client import Endpoint
from bench.processes import Unusable, environment
from bench.subjects import Subject

__all__ = ["ON_THE_PATH", "SETTINGS", "NexusUp", "backend_table", "create_key", "nexus", "up"]

ON_THE_PATH = ("gateway", "adapter")
READY_SECONDS = 90.0
STOP_SECONDS = 60.0
COMMAND = Path(sys.executable).with_name("nexus")
METRICS = "".join(f"[{role}]\nmetrics_port = 0\n" for role in ("registry", "router", "vault", "adapter"))
SETTINGS = f'[gateway]\nauth = "keys"\nmetrics_port = 0\n{METRICS}'


class NexusUp:
    """A running `nexus up`. `http` is its endpoint, `pids` its processes by role."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process, endpoint: str) -> None:
        self.layout = Layout(home)
        self.process = process
        parts = urlsplit(endpoint)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80

    @property
    def pids(self) -> dict[str, tuple[int, ...]]:
        return {entry.role: (entry.pid,) for entry in run_file.read_all(self.layout.home)}

    def endpoint(self, key: str = "", path: str = "/v1/chat/completions") -> Endpoint:
        headers = (("Authorization", f"Bearer {key}"),) if key else ()
        return Endpoint(self.host, self.port, path, headers)


def backend_table(name: str, port: int) -> str:
    """A [[backends]] table of nexus.toml."""
    return f'[[backends]]\nname = "{name}"\nkind = "openai_compatible"\nurl = "http://127.0.0.1:{port}"\n'


@asynccontextmanager
async def up(home: Path, config: str = "", *, discovery: bool = False) -> AsyncIterator[NexusUp]:
    """`nexus up` from `home` until it says that it is ready. Raises Unusable with what it said instead."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "nexus.toml").write_text(config)
    command = [COMMAND, "up", "--home", home, "--port", "0", "--json"]
    command += [] if discovery else ["--no-discovery"]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield NexusUp(home, process, await _endpoint(process, home))
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _endpoint(process: asyncio.subprocess.Process, home: Path) -> str:
    """The endpoint's URL, once the mesh says that it is ready."""
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)
    except TimeoutError:
        raise Unusable(f"NEXUS was not ready after {READY_SECONDS:.0f} s; its logs: {home}/logs") from None
    try:
        return str(json.loads(line)["endpoint"])
    except (ValueError, KeyError):
        rest = await process.stdout.read()
        raise Unusable(f"NEXUS does not start: {(line + rest).decode(errors='replace').strip()}") from None


async def create_key(home: Path) -> str:
    """A new API key, as `nexus keys create` makes it."""
    process = await asyncio.create_subprocess_exec(
        *(str(COMMAND), "keys", "create", "bench", "--home", str(home), "--json"),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    output, _ = await process.communicate()
    try:
        return str(json.loads(output)["secret"])
    except (ValueError, KeyError):
        raise Unusable(f"No API key could be made: {output.decode(errors='replace').strip()}") from None


@asynccontextmanager
async def nexus(backend: Backend, folder: Path) -> AsyncIterator[Subject]:
    """The whole mesh: mTLS, API keys and metrics on."""
    tables = backend_table("canned", backend.chat_port) + f'models = ["{answers.CHAT_MODEL}"]\n'
    tables += backend_table("paced", backend.stream_port) + f'models = ["{answers.STREAM_MODEL}"]\n'
    async with up(folder / "nexus", SETTINGS + tables) as mesh:
        endpoint = mesh.endpoint(await create_key(mesh.layout.home))
        pids = mesh.pids
        yield Subject(
            name="NEXUS",
            chat=endpoint,
            stream=endpoint,
            pids={role: pids[role] for role in ON_THE_PATH},
            version=VERSION,
            others={role: found for role, found in pids.items() if role not in ON_THE_PATH},
        )
