"""Which files one streamed chat runs through, from the client's socket to the engine's and back."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import openai
from nexus.router.v1 import snapshot_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from support.adapter_server import serve_adapter_process
from support.fake_vllm import DEFAULT_MODEL, FakeVllm
from support.gateway_bench import open_bench
from support.waiting import eventually
from support.whole_gateway import gateway

WARM, WALKS = 5, 5
"""Chats before one is watched; and those that are, of which what is in all counts: timers run beside them."""
PACKAGES = ("nexus_gateway", "nexus_mesh", "nexus_routing", "nexus_operations", "nexus_inference_adapters")


class Walk:
    """The files in the order they were first entered, and how often the way led from one to another."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.changes = 0
        self._last = ""

    def enter(self, frame: FrameType, event: str, _: Any) -> None:
        """As `sys.setprofile` takes it."""
        if event != "call":
            return
        path = _module(frame.f_code.co_filename)
        if path is not None and path != self._last:
            self.files.setdefault(path)
            self.changes += 1
            self._last = path


def _module(filename: str) -> str | None:
    parts = Path(filename).parts
    for place, part in enumerate(parts):
        if part in PACKAGES:
            return "/".join(parts[place:])
    return None


@contextmanager
def watched(enter: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    sys.setprofile(enter)
    try:
        yield
    finally:
        sys.setprofile(None)


@asynccontextmanager
async def mesh() -> AsyncIterator[openai.AsyncOpenAI]:
    """A whole gateway and a whole adapter with real sockets between them, before an engine that is none."""
    with tempfile.TemporaryDirectory() as home:
        async with open_bench(Path(home)) as bench:
            engine = FakeVllm()
            await engine.start()
            backend = BackendConfig(name="engine", kind="openai_compatible", url=engine.url)
            async with serve_adapter_process(Path(home) / "adapter", backend, authority=bench.ca) as (
                peer,
                adapter,
            ):
                spiffe = adapter.identity.spiffe
                for one in adapter.status.get().backends:
                    bench.control.router.show(
                        snapshot_pb2.Target(
                            id=f"{spiffe.instance_id}#{one.name}",
                            instance=spiffe.instance_id,
                            address=peer.address,
                            server_name=peer.server_name,
                            zone=spiffe.zone,
                            backend=one.name,
                            kind=one.kind,
                            state=one.state,
                            models=one.models,
                            abilities=one.abilities,
                        )
                    )
                async with gateway(bench) as edge, edge.client() as client:
                    await eventually(lambda: _answers(client), what="the gateway")
                    yield client
            await engine.stop()


async def _answers(client: openai.AsyncOpenAI) -> bool:
    try:
        await chat(client)
    except openai.APIStatusError:
        return False
    return True


async def chat(client: openai.AsyncOpenAI) -> int:
    """The chunks of one streamed chat."""
    stream = await client.chat.completions.create(
        model=DEFAULT_MODEL, messages=[{"role": "user", "content": "Say five words."}], stream=True
    )
    return len([chunk async for chunk in stream])


async def walk() -> list[Walk]:
    """What each watched chat ran through."""
    walks: list[Walk] = []
    async with mesh() as client:
        for _ in range(WARM):
            await chat(client)
        for _ in range(WALKS):
            walks.append(Walk())
            with watched(walks[-1].enter):
                await chat(client)
    return walks


def main() -> None:
    """Prints the files; ends with 1 when they are more than `--most`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=40, help="files it may take (default 40)")
    most = parser.parse_args().most
    walks = asyncio.run(walk())
    files = [path for path in walks[0].files if all(path in other.files for other in walks)]
    for path in files:
        print(path)
    by_package = Counter(path.partition("/")[0] for path in files)
    changes = sorted(each.changes for each in walks)[WALKS // 2]
    print(
        f"{len(files)} files, {changes} changes of file: {', '.join(f'{n} {p}' for p, n in by_package.items())}"
    )
    sys.exit(len(files) > most)


if __name__ == "__main__":
    main()
