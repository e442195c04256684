"""The two hosts at work: a mesh on A, a machine that joined it on B, engines on both. Runs on host A."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts.engine import engine
from hosts.network import Network
from openai import AsyncOpenAI
from support.e2e_cli import Running, nexus, running
from support.e2e_mesh import listed_models
from support.waiting import eventually

__all__ = ["ANNOUNCED", "BOTH", "NODE", "ONLY_B", "SPARING", "ZONE", "Stage", "staged"]

NODE, ZONE = "far", "attic"
BOTH, ONLY_B, SPARING, ANNOUNCED = "on-both", "only-on-b", "sparing-on-b", "announced-on-b"
LOCAL, ANNOUNCED_PORT = "127.0.0.1", 9123
USUAL_PORTS = (8000, 8001, 8082)
"""Where discovery looks: nothing of B's is configured anywhere."""
INTERVAL, SPARING_INTERVAL = 0.1, 4.0
"""Seconds between the words of a stream; while a sparing one thinks, its link carries nothing."""
CONFIG = """
[adapter]
mdns = "adopt"

[[backends]]
name = "box-a"
kind = "openai_compatible"
url = "http://127.0.0.1:9000"
"""


@dataclass
class Stage:
    """What the checks work with. `joined_seconds`: from `nexus join` to its models in A's list."""

    network: Network
    home: Path
    base_url: str
    key: str
    machine: Running
    joined_seconds: float

    @property
    def adapter_log(self) -> str:
        """What host B's adapter has logged."""
        return (self.home / "b" / "logs" / "adapter.log").read_text()

    def client(self, *, key: str | None = None, timeout: float = 60.0) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.base_url, api_key=key or self.key, max_retries=0, timeout=timeout)

    async def models(self) -> list[str]:
        return await listed_models(self.base_url, self.key)


@asynccontextmanager
async def staged(network: Network, home: Path) -> AsyncIterator[Stage]:
    """Everything started, joined and listed."""
    a, b = network.a, network.b
    async with AsyncExitStack() as stack:
        engines = (
            engine((), home / "engine-a.log", LOCAL, 9000, BOTH),
            engine(b.via, home / "engine-b.log", LOCAL, USUAL_PORTS[0], BOTH),
            engine(b.via, home / "slow-b.log", LOCAL, USUAL_PORTS[1], ONLY_B, interval=INTERVAL),
            engine(b.via, home / "sparing-b.log", LOCAL, USUAL_PORTS[2], SPARING, interval=SPARING_INTERVAL),
            engine(b.via, home / "heard-b.log", b.address, ANNOUNCED_PORT, ANNOUNCED, announce="B's engine"),
        )
        for one in engines:
            await stack.enter_async_context(one)
        home_a, home_b = home / "a", home / "b"
        home_a.mkdir()
        (home_a / "nexus.toml").write_text(CONFIG)
        up = ("up", "--home", str(home_a), "--listen", a.address, "--port", "0")
        mesh = await stack.enter_async_context(running(home_a, *up))
        key = (await nexus(home_a, "keys", "create", "hosts", "--json")).json["secret"]
        base_url = mesh.said["endpoint"]
        await eventually(lambda: _lists(base_url, key, BOTH), 30, "A's own model")
        token = ("token", "create", "--node", NODE, "--zone", ZONE, "--json")
        invitation = (await nexus(home_a, *token)).json["token"]
        began = time.monotonic()
        home_b.mkdir()
        (home_b / "token").write_text(invitation)
        join = ("join", "--token-file", str(home_b / "token"), "--home", str(home_b))
        machine = await stack.enter_async_context(running(home_b, *join, via=b.via))
        await eventually(lambda: _lists(base_url, key, ONLY_B), 60, "B's model at A's endpoint")
        yield Stage(network, home, base_url, key, machine, time.monotonic() - began)


async def _lists(base_url: str, key: str, model: str) -> bool:
    return model in await listed_models(base_url, key)
