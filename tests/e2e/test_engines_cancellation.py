"""A client that hangs up frees the engine, whether it asked for a stream or a whole answer: fakes and real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import psutil
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_mesh import engine, hanging, raw_chat, serving
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.fake_vllm import FakeVllm
from support.live_mesh import LiveMesh, backend
from support.llama_cpp import LlamaCppServer
from support.mlx_server import MlxServer, mlx_server
from support.tiny_mlx import write_tiny_mlx
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM_OR_NOT = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
MANY = 1800
"""Tokens: several seconds of work for llama.cpp, whose slots hold 2048."""
ENDLESS = 100_000
FREED_SECONDS = 3.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(mode=modes.ok(2000, interval=0.02)) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vllm() -> AsyncIterator[FakeVllm]:
    async with FakeVllm() as started:
        started.answer, started.interval = "word " * 2000, 0.02
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as started:
        started.engine.answer, started.engine.interval = "word " * 2000, 0.02
        yield started


@pytest.fixture(scope="module")
def mlx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlxServer]:
    """With a name of its own: the shared tiny models are all called tiny."""
    folder = tmp_path_factory.mktemp("mlx-cancel")
    with mlx_server(write_tiny_mlx(folder / "mlx-own"), folder / "home") as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(
    tmp_path_factory: pytest.TempPathFactory,
    openai: FakeOpenAI,
    vllm: FakeVllm,
    ollama: FakeOllama,
    llama_cpp_server: LlamaCppServer,
    mlx: MlxServer,
) -> AsyncIterator[LiveMesh]:
    config = (
        backend("openai", openai.url)
        + backend("vllm", vllm.url)
        + engine("ollama", "ollama", ollama.url)
        + backend("llama", llama_cpp_server.url)
        + engine("mlx", "mlx", mlx.url)
    )
    models = ("fake-model", "org/fake-7b", "qwen3:8b", llama_cpp_server.model.stem, mlx.model.name)
    async with serving(tmp_path_factory.mktemp("cancel"), config, *models) as started:
        yield started


Check = Callable[[], Awaitable[bool] | bool]


async def assert_freed(
    mesh: LiveMesh, model: str, stream: bool, busy: Check, free: Check, tokens: int = MANY
) -> None:
    """Asks, waits until the engine works, hangs up: the engine is free."""
    async with hanging(mesh, model, stream=stream, max_tokens=tokens):
        await eventually(busy, timeout=10, what="the engine at work")
    await eventually(free, timeout=FREED_SECONDS, what="the engine free again")


@STREAM_OR_NOT
async def test_an_openai_backend(mesh: LiveMesh, openai: FakeOpenAI, stream: bool) -> None:
    asked = len(openai.calls)
    await assert_freed(
        mesh, "fake-model", stream,
        lambda: len(openai.calls) > asked, lambda: openai.calls[-1].cancelled,
    )  # fmt: skip


@STREAM_OR_NOT
async def test_vllm(mesh: LiveMesh, vllm: FakeVllm, stream: bool) -> None:
    vllm.max_model_len = 10_000
    await assert_freed(
        mesh, "org/fake-7b", stream,
        lambda: vllm.running == 1, lambda: vllm.running == 0 and vllm.requests[-1].finished is not None,
    )  # fmt: skip


@STREAM_OR_NOT
async def test_ollama(mesh: LiveMesh, ollama: FakeOllama, stream: bool) -> None:
    await assert_freed(
        mesh, "qwen3:8b", stream, lambda: ollama.engine.busy == 1, lambda: ollama.engine.busy == 0
    )


@STREAM_OR_NOT
async def test_llama_cpp(mesh: LiveMesh, llama_cpp_server: LlamaCppServer, stream: bool) -> None:
    async def slots_busy() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{llama_cpp_server.url}/slots") as answer,
        ):
            return sum(slot["is_processing"] for slot in await answer.json())

    async def busy() -> bool:
        return await slots_busy() == 1

    async def free() -> bool:
        return await slots_busy() == 0

    await assert_freed(mesh, llama_cpp_server.model.stem, stream, busy, free)


@STREAM_OR_NOT
async def test_mlx_lm(mesh: LiveMesh, mlx: MlxServer, stream: bool) -> None:
    """It tells nobody what it does; the processor time it uses does."""
    process = psutil.Process(mlx.pid)

    async def share() -> float:
        before = sum(process.cpu_times()[:2])
        await asyncio.sleep(0.3)
        return (sum(process.cpu_times()[:2]) - before) / 0.3

    async def busy() -> bool:
        return await share() > 0.1

    async def free() -> bool:
        return await share() < 0.02

    await assert_freed(mesh, mlx.model.name, stream, busy, free, ENDLESS)


async def test_a_queue_of_those_who_left_holds_nobody_up(mesh: LiveMesh, ollama: FakeOllama) -> None:
    """Ollama runs one at a time: whoever left while waiting must not be run."""
    async with hanging(mesh, "llama3.2", max_tokens=MANY):
        await eventually(lambda: ollama.engine.busy == 1)
        async with hanging(mesh, "llama3.2", max_tokens=MANY), hanging(mesh, "llama3.2", stream=True):
            await eventually(lambda: ollama.engine.queued == 2)
        await eventually(lambda: ollama.engine.queued == 0, timeout=FREED_SECONDS)
    await eventually(lambda: ollama.engine.busy == 0, timeout=FREED_SECONDS)
    ollama.engine.interval = 0.0
    assert (await raw_chat(mesh, "llama3.2", max_tokens=3)).status == 200
