"""Measures speech through a whole mesh: whether Whisper understands it, the first byte beside the engine's own, and
memory over a long text. It pulls voice:joe, whisper:base and whisper:tiny.en first, and fails when a budget is missed.

python -m bench.speech [--only words first memory]
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import nexus_inference_adapters
import psutil
from nexus_cli.plan import Options
from nexus_cli.progress import Progress
from nexus_cli.supervisor import Supervisor
from nexus_cli.up import running_mesh
from nexus_inference_adapters.children import MEDIA, Workers
from nexus_inference_adapters.contract import Patience
from nexus_inference_adapters.store import Store
from nexus_mesh.settings import Timeouts

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. "
SAID = (
    "The train leaves at seven in the morning.",
    "She bought a loaf of bread and some milk.",
    "Our meeting was moved to next Thursday.",
    "The river runs through the middle of the town.",
    "He forgot his umbrella on the bus again.",
    "They are building a new school near the park.",
    "Please close the window before you leave.",
    "The doctor will see you in ten minutes.",
    "We had dinner at a small restaurant by the sea.",
    "My brother works in a large library.",
)
CHARACTERS = 2_000
LONG = 10_000
"""Characters: more than ten minutes at a normal speed."""
FORMATS = ("pcm", "wav", "mp3", "opus", "aac", "flac")
EARS = ("whisper:base", "whisper:tiny.en")
KINDS = Path(nexus_inference_adapters.__file__).parent / "kinds"
MIB = 2**20
MOST_ERRORS = 0.10
"""Of the words of the natural voice, heard by whisper:base."""
MOST_ADDED = 150.0
"""Milliseconds that a mesh adds to the first sound."""
MOST_GROWN = 30.0
"""MiB by which a process may grow from the first sound of ten minutes on."""
PARTS = ("words", "first", "memory")


@dataclass(frozen=True)
class Engine:
    """`command` runs it by itself; `more` goes into its orders."""

    model: str
    voice: str
    command: Sequence[str]
    more: Mapping[str, object]


def engines(models: Path) -> list[Engine]:
    joe = models / "voice%3Ajoe"
    return [
        Engine("espeak-ng", "en-us", [str(KINDS / "espeak" / "speaking.py")], {}),
        Engine("voice:joe", "joe", [str(KINDS / "piper" / "speaking.py"), str(joe / "voice.onnx"),
         str(joe / "en_US-joe-medium.onnx.json")],
               {"stretch": 1.0}),
    ]  # fmt: skip


def text(characters: int) -> str:
    return (SENTENCE * (characters // len(SENTENCE) + 1))[:characters]


async def alone(workers: Workers, engine: Engine, form: str) -> float:
    """Milliseconds to the first sound of the engine by itself."""
    order: dict[str, object] = {
        "text": text(CHARACTERS), "voice": engine.voice, "speed": 1.0, "format": form, **engine.more,
    }  # fmt: skip
    started, first = time.perf_counter(), 0.0
    async with workers.job(order) as job:
        while not job.ended:
            frame = await job.read()
            if frame.kind == MEDIA and not first:
                first = time.perf_counter() - started
    return first * 1000


def asked(engine: Engine, said: str, form: str) -> dict[str, str]:
    return {"model": engine.model, "voice": engine.voice, "input": said, "response_format": form}


async def through(session: aiohttp.ClientSession, engine: Engine, form: str) -> float:
    """The same of a client of the mesh."""
    started = time.perf_counter()
    async with session.post("/v1/audio/speech", json=asked(engine, text(CHARACTERS), form)) as answer:
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


async def long_stream(session: aiohttp.ClientSession, engine: Engine, seconds: float) -> int:
    """A long text, read evenly over so many seconds; bytes that came."""
    async with session.post("/v1/audio/speech", json=asked(engine, text(LONG), "wav")) as answer:
        size = 0
        async for piece in answer.content.iter_chunked(256 * 1024):
            size += len(piece)
            await asyncio.sleep(seconds / 120)
    return size


def words(said: str) -> list[str]:
    return re.findall(r"[a-z']+", re.sub(r"\b7\b", "seven", re.sub(r"\b10\b", "ten", said.lower())))


def errors(said: str, heard: str) -> tuple[int, int]:
    """Words that were changed, left out or put in, and how many were said."""
    wanted, found = words(said), words(heard)
    row = list(range(len(found) + 1))
    for at, word in enumerate(wanted, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(found, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1], len(wanted)


async def understood(session: aiohttp.ClientSession, both: Sequence[Engine]) -> bool:
    """Prints what each container holds, and how many words of ten sentences are heard wrong."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.sounds import heard  # pyright: ignore[reportMissingImports] - of the tests

    print("\n| engine | format | container | codec | rate | seconds | RMS |\n|---|---|---|---|---|---|---|")
    for engine in both:
        for form in FORMATS[1:]:
            made = heard(await _spoken(session, engine, SAID[0], form))
            about = (made.container, made.codec, made.rate, f"{made.seconds:.2f}", f"{made.loudness:.3f}")
            print(f"| {engine.model} | {form} | {' | '.join(map(str, about))} |")
    print("\n| engine | heard by | words wrong | of | error rate |\n|---|---|---|---|---|")
    good = True
    for engine in both:
        sounds = [await _spoken(session, engine, said, "wav") for said in SAID]
        for ears in EARS:
            heard_as = [await _transcribed(session, ears, sound) for sound in sounds]
            counts = [errors(said, told) for said, told in zip(SAID, heard_as, strict=True)]
            wrong, spoken = (sum(each) for each in zip(*counts, strict=True))
            print(f"| {engine.model} | {ears} | {wrong} | {spoken} | {100 * wrong / spoken:.1f} % |")
            good &= (engine.model, ears) != ("voice:joe", EARS[0]) or wrong / spoken <= MOST_ERRORS
    print(f"\nvoice:joe heard by {EARS[0]}: at most {100 * MOST_ERRORS:.0f} % allowed")
    return good


async def _spoken(session: aiohttp.ClientSession, engine: Engine, said: str, form: str) -> bytes:
    async with session.post("/v1/audio/speech", json=asked(engine, said, form)) as answer:
        answer.raise_for_status()
        return await answer.read()


async def _transcribed(session: aiohttp.ClientSession, model: str, sound: bytes) -> str:
    form = aiohttp.FormData({"model": model, "language": "en"})
    form.add_field("file", sound, filename="said.wav", content_type="audio/wav")
    async with session.post("/v1/audio/transcriptions", data=form) as answer:
        answer.raise_for_status()
        return (await answer.json())["text"]


async def first_bytes(session: aiohttp.ClientSession, both: Sequence[Engine], rounds: int) -> bool:
    print(f"\nFirst byte of {CHARACTERS} characters, ms, median of {rounds}\n")
    print("| engine | format | engine alone | through the mesh | added |\n|---|---|---|---|---|")
    worst = 0.0
    for engine in both:
        workers = Workers(engine.command)
        await alone(workers, engine, "wav")  # everything is loaded once, here and there
        await through(session, engine, "wav")
        for form in FORMATS if engine is both[0] else ("pcm", "mp3"):
            pairs = [
                (await alone(workers, engine, form), await through(session, engine, form))
                for _ in range(rounds)
            ]
            own, whole = (statistics.median(each) for each in zip(*pairs, strict=True))
            worst = max(worst, whole - own)
            print(f"| {engine.model} | {form} | {own:.1f} | {whole:.1f} | {whole - own:.1f} |")
        await workers.close()
    print(f"\nadded at most {worst:.1f} ms, allowed {MOST_ADDED:.0f}")
    return worst <= MOST_ADDED


async def memory(
    session: aiohttp.ClientSession, both: Sequence[Engine], seconds: float, supervisor: Supervisor
) -> bool:
    pids = [supervisor.units[name].pid for name in ("gateway", "adapter")]
    print(
        "\n| engine | minutes of WAV | MiB sent | process | first MiB | last | most |\n|---|---|---|---|---|---|---|"
    )
    worst = 0.0
    for engine in both:
        async with watched(*pids) as seen:
            size = await long_stream(session, engine, seconds)
        sent = f"{size / 2 / 22_050 / 60:.1f} | {size / MIB:.0f}"
        for name, each in zip(("gateway", "adapter"), zip(*seen, strict=True), strict=True):
            grown = (max(each) - each[0]) / MIB
            worst = max(worst, grown)
            told = " | ".join(f"{one / MIB:.1f}" for one in (each[0], each[-1], max(each)))
            print(f"| {engine.model} | {sent} | {name} | {told} |")
    print(f"\ngrown by {worst:.1f} MiB at most, allowed {MOST_GROWN:.0f}")
    return worst <= MOST_GROWN


async def pulled(models: Path) -> None:
    for name in ("voice:joe", *EARS):
        with Patience(Timeouts(), silence=60.0) as patience:
            async with aclosing(Store(models).pull(name, patience)) as steps:
                async for _ in steps:
                    pass


async def measure(parts: Sequence[str], rounds: int, seconds: float) -> bool:
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        home = Path(folder)
        await pulled(home / "models")
        both = engines(home / "models")
        options = Options(home=home, port=0, discovery=False)
        async with running_mesh(options, Progress(quiet=True)) as (mesh, supervisor):
            timeout = aiohttp.ClientTimeout(total=1800)
            async with aiohttp.ClientSession(mesh.http, timeout=timeout) as session:
                await until_all_are_there(session, {*(one.model for one in both), *EARS})
                good = True
                if "words" in parts:
                    good &= await understood(session, both)
                if "first" in parts:
                    good &= await first_bytes(session, both, rounds)
                if "memory" in parts:
                    good &= await memory(session, both, seconds, supervisor)
                return good


async def until_all_are_there(session: aiohttp.ClientSession, names: set[str]) -> None:
    while True:
        with suppress(aiohttp.ClientError):
            async with session.get("/v1/models") as answer:
                if answer.status == 200 and names <= {row["id"] for row in (await answer.json())["data"]}:
                    return
        await asyncio.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speech", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the long answer is read")
    arguments = parser.parse_args()
    return int(not asyncio.run(measure(arguments.only, arguments.rounds, arguments.seconds)))


if __name__ == "__main__":
    sys.exit(main())
