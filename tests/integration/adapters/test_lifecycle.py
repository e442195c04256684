"""LifecycleService of an adapter, called as a gateway calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nexus.lifecycle.v1 import lifecycle_pb2 as pb
from nexus.types.v1 import memory_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import GIB, DeviceConfig, ModelSettings
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Method, Peer
from support.adapter_server import serve_adapter_process
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.fake_openai import FakeOpenAI
from support.waiting import eventually

SERVICE = "nexus.lifecycle.v1.LifecycleService"
LOAD = Method(SERVICE, "Load", pb.LoadRequest, pb.LoadResponse)
UNLOAD = Method(SERVICE, "Unload", pb.UnloadRequest, pb.UnloadResponse)
DELETE = Method(SERVICE, "Delete", pb.DeleteRequest, pb.DeleteResponse)
PULL = Method(SERVICE, "Pull", pb.PullRequest, pb.PullResponse)
MEMORY = Method(SERVICE, "GetMemory", pb.GetMemoryRequest, pb.GetMemoryResponse)
UNARY: list[tuple[Method[Any, Any], type[Any]]] = [
    (LOAD, pb.LoadRequest),
    (UNLOAD, pb.UnloadRequest),
    (DELETE, pb.DeleteRequest),
]
NEWCOMER = OllamaModel("mistral:latest", size=4 * GIB)


@pytest.fixture
async def adapter(fake_ollama: FakeOllama, fake_openai: FakeOpenAI, tmp_path: Path) -> AsyncIterator[Peer]:
    """Nothing is managed here."""
    backends = (
        BackendConfig(name="box", kind="openai_compatible", url=fake_openai.url),
        BackendConfig(name="ollama", kind="ollama", url=fake_ollama.url),
        BackendConfig(name="strict", kind="ollama", url=fake_ollama.url, models=("llama3.2:latest",)),
    )
    async with serve_adapter_process(tmp_path, *backends) as (peer, mesh):
        abilities = {one.name: list(one.abilities) for one in mesh.status.get().backends}
        assert abilities == {"box": [], "ollama": [1, 2, 3, 4], "strict": [1, 2, 3, 4]}
        yield peer


async def load(peer: Peer, model: str, timeout: float = 20.0) -> pb.LoadResponse:
    return await peer.unary(LOAD, pb.LoadRequest(backend="ollama", model=model), timeout=timeout)


async def unload(peer: Peer, model: str) -> pb.UnloadResponse:
    return await peer.unary(UNLOAD, pb.UnloadRequest(backend="ollama", model=model), timeout=20)


async def pull(peer: Peer, model: str, backend: str = "ollama") -> list[pb.PullResponse]:
    async with peer.stream(PULL, pb.PullRequest(backend=backend, model=model), timeout=20) as call:
        return [message async for message in call]


def loaded(fake: FakeOllama) -> set[str]:
    return {entry.model.name for entry in fake.engine.loaded}


PULL_ERRORS = {
    'pull model manifest: Get "https://registry.ollama.ai/v2/library/x/manifests/latest": dial tcp: '
    "lookup registry.ollama.ai: no such host": "online",
    "max retries exceeded: read tcp 10.0.0.5:51044->104.21.75.227:443: i/o timeout": "online",
    "write /home/me/.ollama/models/blobs/sha256-1-partial: no space left on device": "disk",
    "pull model manifest: 412: The model you are attempting to pull requires a newer version of Ollama.": "update",
    "pull model manifest: 401: unauthorized": "sign the engine in",
}


@pytest.mark.parametrize("text", PULL_ERRORS)
async def test_why_a_pull_failed_is_told_in_our_words(
    adapter: Peer, fake_ollama: FakeOllama, text: str
) -> None:
    """E13: of Ollama's own ones none is passed on."""
    fake_ollama.engine.pull_error = text
    with pytest.raises(MeshError, match=PULL_ERRORS[text]) as raised:
        await pull(adapter, "mistral")
    assert raised.value.reason is Reason.UPSTREAM_ERROR
    assert "ollama" not in raised.value.message
    assert "tcp" not in raised.value.message


@pytest.mark.parametrize(
    ("asked", "name"), [("llama3.2", "llama3.2:latest"), ("all-minilm", "all-minilm:latest")]
)
async def test_loading_and_unloading(adapter: Peer, fake_ollama: FakeOllama, asked: str, name: str) -> None:
    fake_ollama.engine.unload_seconds = 0.3
    answer = await load(adapter, asked)
    assert (answer.model, answer.size_bytes, loaded(fake_ollama)) == (name, 0, {name})
    assert (await unload(adapter, asked)).model == name
    assert loaded(fake_ollama) == set(), "its memory is free when the call returns"
    await unload(adapter, asked)


async def test_pulling_and_deleting(adapter: Peer, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.pullable[NEWCOMER.name] = NEWCOMER
    *steps, end = await pull(adapter, "mistral")
    assert [message.WhichOneof("event") for message in steps] == ["progress"] * len(steps)
    assert end.finish.model == "mistral"
    assert any(
        step.progress.total_bytes == step.progress.done_bytes == NEWCOMER.size
        and step.progress.phase.startswith("pulling ")
        for step in steps
    )
    await eventually(lambda: _loads(adapter, "mistral"), what="the new model to be offered")
    request = pb.DeleteRequest(backend="ollama", model="mistral")
    assert (await adapter.unary(DELETE, request, timeout=20)).model == "mistral:latest"
    assert NEWCOMER.name not in fake_ollama.engine.models
    assert loaded(fake_ollama) == set()


async def test_a_pull_that_fails_ends_with_a_status(adapter: Peer) -> None:
    with pytest.raises(MeshError) as caught:
        await pull(adapter, "nobody/knows:it")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


@pytest.mark.parametrize("model", ["", "x" * 257, "a\nb"])
async def test_names_that_are_none_are_not_pulled(adapter: Peer, fake_ollama: FakeOllama, model: str) -> None:
    with pytest.raises(MeshError) as caught:
        await pull(adapter, model)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert "/api/pull" not in fake_ollama.paths


async def test_what_would_not_be_offered_is_not_pulled(adapter: Peer, fake_ollama: FakeOllama) -> None:
    with pytest.raises(MeshError) as caught:
        await pull(adapter, "mistral", backend="strict")
    assert "`models`" in caught.value.message
    assert "/api/pull" not in fake_ollama.paths


@pytest.mark.parametrize(("method", "request_"), UNARY)
async def test_who_cannot_says_so_and_what_to_do(
    adapter: Peer, method: Method[Any, Any], request_: type[Any]
) -> None:
    with pytest.raises(MeshError) as caught:
        await adapter.unary(method, request_(backend="box", model="fake-model"), timeout=5)
    assert caught.value.reason is Reason.CAPABILITY_MISSING
    assert "start and stop the server" in caught.value.message


@pytest.mark.parametrize(
    ("backend", "model", "reason"),
    [
        ("nobody", "llama3.2", Reason.OBJECT_NOT_FOUND),
        ("", "llama3.2", Reason.OBJECT_NOT_FOUND),
        ("ollama", "nothing", Reason.MODEL_NOT_FOUND),
        ("ollama", "", Reason.MODEL_NOT_FOUND),
        ("ollama", "gpt-oss:120b-cloud", Reason.CAPABILITY_MISSING),
    ],
)
async def test_what_cannot_be_loaded(adapter: Peer, backend: str, model: str, reason: Reason) -> None:
    for method, request in UNARY[:2]:
        with pytest.raises(MeshError) as caught:
            await adapter.unary(method, request(backend=backend, model=model), timeout=5)
        assert caught.value.reason is reason


async def test_the_end_of_the_call_is_the_end_of_the_pull(adapter: Peer, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.pullable[NEWCOMER.name] = NEWCOMER
    fake_ollama.engine.pull_seconds = 60.0
    call = asyncio.ensure_future(pull(adapter, "mistral"))
    await eventually(lambda: "/api/pull" in fake_ollama.paths, what="the pull to begin")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    [request] = [one for one in fake_ollama.requests if one.path == "/api/pull"]
    await eventually(lambda: request.cancelled, what="the engine to be told")


async def test_nothing_is_managed_unless_told_to(adapter: Peer) -> None:
    assert not (await adapter.unary(MEMORY, pb.GetMemoryRequest(), timeout=5)).devices


async def test_a_managed_card(fake_ollama: FakeOllama, tmp_path: Path) -> None:
    backend = BackendConfig(name="ollama", kind="ollama", url=fake_ollama.url)
    card = DeviceConfig(name="gpu0", memory_gb=10, headroom_gb=1)
    models = {"qwen3:8b": ModelSettings(memory_gb=8), "llava:latest": ModelSettings(memory_gb=6)}
    settings = {"devices": (card,), "models": models, "min_residency": 300.0}
    for model in ("qwen3:8b", "llava:latest"):
        fake_ollama.engine.models[model] = OllamaModel(
            model, size=round((models[model].memory_gb or 0) * GIB)
        )
    async with serve_adapter_process(tmp_path, backend, **settings) as (peer, _):
        assert (await load(peer, "qwen3:8b")).size_bytes == 8 * GIB
        [device] = (await peer.unary(MEMORY, pb.GetMemoryRequest(), timeout=5)).devices
        [held] = device.reservations
        assert (held.model, held.state) == ("qwen3:8b", memory_pb2.RESERVATION_STATE_IDLE)
        with pytest.raises(MeshError) as caught:
            await load(peer, "llava", timeout=5)
        assert caught.value.reason is Reason.OVERLOAD
        assert (caught.value.retry_after or 0) > 200
        assert loaded(fake_ollama) == {"qwen3:8b"}
        await unload(peer, "qwen3:8b")  # people may, at any time
        assert (await load(peer, "llava")).size_bytes == 6 * GIB
        assert loaded(fake_ollama) == {"llava:latest"}


async def _loads(peer: Peer, model: str) -> bool:
    try:
        await load(peer, model)
    except MeshError:
        return False
    return True
