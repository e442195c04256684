"""What the tests of examples/ share: a mesh that demands a key, and what it was asked for."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import fake_openai_modes as modes
from support.e2e_cli import nexus
from support.e2e_mesh import listed_models
from support.fake_openai import FakeOpenAI
from support.fake_openai_script import Answer, Mode
from support.live_mesh import LiveMesh, backend, live_mesh
from support.openai_wire import Call
from support.waiting import eventually

from tools.clients_page import EXAMPLES as FOLDER
from tools.clients_page import Client, clients

__all__ = ["CHAT", "EMBEDDER", "FOLDER", "Client", "Served", "clients", "run", "served"]

CHAT, EMBEDDER = "chat-model", "embedding-model"
ANSWER, COUNTED, ADDED = "Titan.", "1 2 3 4 5", "It is 42."
SECONDS = 120.0
WORDS = {
    ("chat", False): "chat",
    ("chat", True): "stream",
    ("completion", False): "completions",
    ("completion", True): "completions",
    ("embedding", False): "embeddings",
}
"""Of versions.toml, by the gateway's for an operation and whether it was streamed."""
MADE = frozenset({"image", "image_edit", "speech"})
"""What examples have made by what is in the box: the page of clients has no column of it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A mesh for an example, and the key that its endpoint demands."""

    mesh: LiveMesh
    fake: FakeOpenAI
    key: str

    @property
    def variables(self) -> dict[str, str]:
        """Where OpenAI's own SDKs look."""
        return {"OPENAI_BASE_URL": self.mesh.base_url, "OPENAI_API_KEY": self.key}

    @property
    def asked(self) -> tuple[int, int]:
        """How much has been asked of the gateway and of the backend until now: `tried` counts from there."""
        return len(self._log()), len(self.fake.calls)

    async def assert_tried(self, words: Iterable[str], since: tuple[int, int] = (0, 0)) -> None:
        """The endpoint answered just these kinds of requests; those that failed do not count."""
        wanted = {*words}
        await eventually(lambda: self._tried(since) == wanted, timeout=10, what=f"{wanted} in the log")

    def _tried(self, since: tuple[int, int]) -> set[str]:
        lines, calls = since
        rows = [row for row in self._log()[lines:] if row["outcome"] == "ok"]
        asked = ((row["operation"], row["stream"]) for row in rows)
        found = {WORDS[each] for each in asked if each[0] not in MADE}
        messages = [call.body.get("messages") or [] for call in self.fake.calls[calls:]]
        return found | {"tools" for each in messages if any(one["role"] == "tool" for one in each)}

    def _log(self) -> list[dict[str, Any]]:
        """The gateway's lines about requests: what clients asked for, which differs from what the backend is asked."""
        text = (self.mesh.layout.home / "logs" / "gateway.log").read_text()
        rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [row for row in rows if row.get("event") == "request"]


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[Served]:
    async with FakeOpenAI(CHAT, EMBEDDER, mode=_answers()) as fake:
        config = '[gateway]\nauth = "keys"\n' + backend("box", fake.url)
        async with live_mesh(home, config, speech=True, painter=True) as mesh:
            key = (await nexus(home, "keys", "create", "example")).out.strip()
            await eventually(lambda: _lists_both(mesh, key), timeout=30, what="both models")
            yield Served(mesh, fake, key)


async def _lists_both(mesh: LiveMesh, key: str) -> bool:
    return {CHAT, EMBEDDER} <= {*await listed_models(mesh.base_url, key)}


def _answers() -> Mode:
    """A model that calls `add` when it may and has not, tells what came of it, and else answers or counts."""

    def mode(call: Call) -> Answer:
        messages = call.body.get("messages") or []
        offered = [tool.get("function", {}).get("name") for tool in call.body.get("tools") or []]
        if any(message["role"] == "tool" for message in messages):
            return modes.ok(text=ADDED)(call)
        if "add" in offered:
            return modes.tool_calls(("add", '{"a": 2, "b": 40}'))(call)
        return modes.ok(text=COUNTED if "Count" in call.last_text else ANSWER)(call)

    return mode


async def run(command: Iterable[str | Path], variables: Mapping[str, str], place: Path | None = None) -> str:
    """What it printed, with these variables, PATH, and nothing else of ours. Raises AssertionError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": os.environ["PATH"], **variables},
        cwd=place,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out.decode() + errors.decode())[-3000:]
    return out.decode()
