"""A fake vLLM as a process of its own: python -m hosts.engine HOST PORT INTERVAL MODEL...

With the variable ANNOUNCE set to a label it announces itself on the local network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from support.announcer import announcer
from support.fake_vllm import FakeVllm

__all__ = ["engine"]

SERVICE = "_openai._tcp.local."
WORDS = 600


async def main(host: str, port: str, interval: str, *models: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    fake = FakeVllm(*models, max_model_len=4096)
    fake.interval = float(interval)
    if fake.interval:
        fake.answer = " ".join(f"w{number}" for number in range(WORDS))
    await fake.start(int(port), host)
    label = os.environ.get("ANNOUNCE", "")
    async with announcer([host]) if label else contextlib.nullcontext() as announcing:
        if announcing is not None:
            await announcing.announce(SERVICE, label, int(port), [host])
        await stop.wait()
    await fake.stop()


@asynccontextmanager
async def engine(
    via: Sequence[str],
    log: Path,
    host: str,
    port: int,
    *models: str,
    interval: float = 0.0,
    announce: str = "",
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Such a process on the host that `via` leads to."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *via, sys.executable, "-m", "hosts.engine", host, str(port), str(interval), *models,
            stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink, env={**os.environ, "ANNOUNCE": announce},
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
