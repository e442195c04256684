"""Processes that work on media: one for each job that runs, kept for a while, gone without work, never left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from nexus_inference_adapters.children import Workers
from support.waiting import eventually

PROGRAM = """
import json, sys
from nexus_inference_adapters.children import Frames, confine, one_more_job
confine(1 << 30)
frames = Frames()
for line in sys.stdin:
    one_more_job()
    order = json.loads(line)
    print("this goes nowhere")
    if order["what"] == "die":
        sys.exit(1)
    if order["what"] == "write":
        try:
            with open(order["path"], "wb") as file:
                file.write(b"x")
                file.flush()
            frames.done(wrote=True)
        except OSError:
            frames.done(wrote=False)
        continue
    if order["what"] == "take":
        try:
            frames.done(took=len(bytearray(4 << 30)))
        except MemoryError:
            frames.done(took=0)
        continue
    frames.media(bytes(order["bytes"]))
    if order["what"] == "wait":
        sys.stdin.read()
    frames.done(size=order["bytes"])
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "program.py").write_text(PROGRAM)
    return str(tmp_path / "program.py")


@pytest_asyncio.fixture
async def workers(program: str) -> AsyncIterator[Workers]:
    made = Workers([program])
    yield made
    await made.close()
    assert made.running == []


async def done(workers: Workers, **order: object) -> tuple[int, dict[str, object]]:
    """Bytes that came, and what the end says."""
    size = 0
    async with workers.job(order) as job:
        while True:
            frame = await job.read()
            if job.ended:
                return size, frame.facts
            assert len(frame.data) <= 64 * 1024
            size += len(frame.data)


async def test_one_after_the_other_uses_one(workers: Workers) -> None:
    assert await done(workers, what="say", bytes=200_000) == (200_000, {"size": 200_000})
    first = workers.running
    assert await done(workers, what="say", bytes=1) == (1, {"size": 1})
    assert workers.running == first


async def test_two_at_once_use_two(workers: Workers) -> None:
    await asyncio.gather(*(done(workers, what="say", bytes=3_000_000) for _ in range(2)))
    assert len(workers.running) == 2


async def test_whoever_leaves_ends_it(workers: Workers) -> None:
    async with workers.job({"what": "wait", "bytes": 10}) as job:
        await job.read()
        (pid,) = workers.running
    assert workers.running == []
    await eventually(lambda: not psutil.pid_exists(pid), what="its end")


async def test_one_that_dies_is_told_and_not_used_again(workers: Workers) -> None:
    with pytest.raises(EOFError):
        await done(workers, what="die")
    assert await done(workers, what="say", bytes=1) == (1, {"size": 1})


async def test_it_leaves_when_there_is_no_work(program: str) -> None:
    workers = Workers([program], idle=0.1)
    await done(workers, what="say", bytes=1)
    (pid,) = workers.running
    await eventually(lambda: workers.running == [] and not psutil.pid_exists(pid), what="its leaving")


@pytest.mark.security
async def test_it_writes_no_file_and_takes_no_more_than_its_memory(workers: Workers, tmp_path: Path) -> None:
    assert (await done(workers, what="write", path=str(tmp_path / "file")))[1] == {"wrote": False}
    assert (await done(workers, what="take"))[1] == {"took": 0}
