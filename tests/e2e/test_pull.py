"""`nexus pull` on a whole mesh: its adapter is killed in the middle, and the second pull goes on, checks and serves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import psutil
import pytest
from support.e2e_cli import Running, environment, nexus, running
from support.fake_hub import FakeHub, FileServer
from support.waiting import eventually

UP = ("up", "--port", "0", "--no-discovery")
FILE, NAME = "tiny-Q8_0.gguf", "hf.co/somebody/tiny-gguf"
PADDING = 6_000_000
"""Bytes behind the tensors: a file must be long enough to be half there."""
WRONG = "SHA-256 is another"


def adapter_of(mesh: Running) -> psutil.Process:
    children = psutil.Process(mesh.process.pid).children(recursive=True)
    return next(one for one in children if "nexus_inference_adapters" in one.cmdline())


def parts(home: Path) -> list[int]:
    return [path.stat().st_size for path in (home / "models" / ".pulling").glob("*.part")]


async def ids(mesh: Running) -> list[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{mesh.said['endpoint']}/models") as answer:
        return [row["id"] for row in (await answer.json())["data"]]


async def test_an_adapter_killed_in_the_middle_of_a_pull_goes_on_with_it(
    tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny_gguf.read_bytes() + bytes(PADDING)
    async with (
        FileServer({FILE: weights}) as files,
        FakeHub(files, "somebody/tiny-gguf", "apache-2.0") as hub,
    ):
        told = {"HF_ENDPOINT": hub.url}
        monkeypatch.setattr("support.e2e_cli.environment", lambda home: {**environment(home), **told})
        async with running(tmp_path, *UP, "--home", str(tmp_path)) as mesh:
            backend = ("--backend", "embedded")
            files.faults = ["hang", "lie"]
            pulling = asyncio.create_task(nexus(tmp_path, "pull", NAME, *backend))
            await files.hanging.wait()
            await eventually(
                lambda: parts(tmp_path) and parts(tmp_path)[0] > 2**20, what="a part of the file"
            )
            killed = adapter_of(mesh)
            killed.kill()
            assert (await pulling).code == 1
            [part] = parts(tmp_path)

            async def is_back() -> bool:
                (status,) = [await nexus(tmp_path, "status", "--json")]
                rows = [row for row in status.json["instances"] if "/adapter/" in row["id"]]
                return [row["state"] for row in rows] == ["active"] and adapter_of(mesh).pid != killed.pid

            while not await is_back():  # noqa: ASYNC110 - it is asked for by a command
                await asyncio.sleep(0.2)
            (await nexus(tmp_path, "pull", NAME, *backend)).assert_refused(WRONG, "Nothing was kept")
            assert parts(tmp_path) == []
            files.faults = ["cut", "busy"]
            third = await nexus(tmp_path, "pull", NAME, *backend)
            assert third.code == 0, third.out + third.err
            assert int(files.ranges[1].removeprefix("bytes=").rstrip("-")) >= part > 0
            assert [bool(asked) for asked in files.ranges] == [False, True, False, True, True]
            while NAME not in await ids(mesh):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            body = {"model": NAME, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello!"}]}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{mesh.said['endpoint']}/chat/completions", json=body) as answer,
            ):
                assert answer.status == 200, await answer.text()
                assert json.loads(await answer.read())["choices"][0]["message"]["content"]
