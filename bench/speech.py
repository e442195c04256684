"""Measures speech through a whole mesh: the first byte beside the engine's own, and memory over a long text.

python -m bench.speech
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import nexus_inference_adapters
import psutil
from nexus_cli.plan import Options
from nexus_cli.progress import Progress
from nexus_cli.up import running_mesh
from nexus_inference_adapters.children import MEDIA, Workers

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. "
CHARACTERS = 2_000
LONG = 10_000
"""Characters: more than ten minutes at a normal speed."""
FORMATS = ("pcm", "wav", "mp3", "opus", "aac", "flac")
SPEAKER = Path(nexus_inference_adapters.__file__).parent / "kinds" / "espeak" / "speaking.py"
MIB = 2**20


def text(characters: int) -> str:
    return (SENTENCE * (characters // len(SENTENCE) + 1))[:characters]


async def alone(workers: Workers, form: str) -> float:
    """Milliseconds to the first sound of the engine by itself."""
    order: dict[str, object] = {"text": text(CHARACTERS), "voice": "en-us", "speed": 1.0, "format": form}
    started, first = time.perf_counter(), 0.0
    async with workers.job(order) as job:
        while not job.ended:
            frame = await job.read()
            if frame.kind == MEDIA and not first:
                first = time.perf_counter() - started
    return first * 1000


async def through(session: aiohttp.ClientSession, form: str) -> float:
    """The same of a client of the mesh."""
    body = {"model": "espeak-ng", "voice": "en-us", "input": text(CHARACTERS), "response_format": form}
    started = time.perf_counter()
    async with session.post("/v1/audio/speech", json=body) as answer:
        await answer.content.readany()
        first = time.perf_counter() - started
        await answer.read()
    return first * 1000


@asynccontextmanager
async def watched(*pids: int) -> AsyncIterator[list[tuple[int, ...]]]:
    """Resident bytes of each, ten times a second."""
    seen: list[tuple[int, ...]] = []

    async def look() -> None:
        while True:
            seen.append(tuple(psutil.Process(pid).memory_info().rss for pid in pids))
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def long_stream(session: aiohttp.ClientSession, seconds: float) -> int:
    """A long text, read evenly over so many seconds; bytes that came."""
    body = {"model": "espeak-ng", "voice": "en-us", "input": text(LONG), "response_format": "wav"}
    async with session.post("/v1/audio/speech", json=body) as answer:
        size = 0
        async for piece in answer.content.iter_chunked(256 * 1024):
            size += len(piece)
            await asyncio.sleep(seconds / 120)
    return size


async def measure(rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        options = Options(home=Path(folder), port=0, discovery=False)
        async with running_mesh(options, Progress(quiet=True)) as (mesh, supervisor):
            workers = Workers([str(SPEAKER)])
            async with aiohttp.ClientSession(mesh.http) as session:
                await until_it_speaks(session)
                print(f"First byte of {CHARACTERS} characters, ms, median of {rounds}\n")
                print("| format | engine alone | through the mesh | added |\n|---|---|---|---|")
                for form in FORMATS:
                    pairs = [
                        (await alone(workers, form), await through(session, form)) for _ in range(rounds)
                    ]
                    own, whole = (statistics.median(each) for each in zip(*pairs, strict=True))
                    print(f"| {form} | {own:.1f} | {whole:.1f} | {whole - own:.1f} |")
                await workers.close()
                pids = [supervisor.units[name].pid for name in ("gateway", "adapter")]
                async with watched(*pids) as seen:
                    size = await long_stream(session, seconds)
            minutes = size / 2 / 22_050 / 60
            print(
                f"\n{minutes:.1f} minutes of WAV, {size / MIB:.0f} MiB, read over {seconds:.0f} s and more\n"
            )
            print("| MiB | first | last | most |\n|---|---|---|---|")
            for name, each in zip(("gateway", "adapter"), zip(*seen, strict=True), strict=True):
                print(f"| {name} | {each[0] / MIB:.1f} | {each[-1] / MIB:.1f} | {max(each) / MIB:.1f} |")


async def until_it_speaks(session: aiohttp.ClientSession) -> None:
    while True:
        with suppress(aiohttp.ClientError):
            async with session.get("/v1/audio/models") as answer:
                if answer.status == 200 and (await answer.json())["models"]:
                    return
        await asyncio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.speech", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the long answer is read")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
