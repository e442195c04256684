"""What an adapter makes of a backend's word about itself, sense or nonsense."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract.work import Inspection
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds import ADAPTERS
from support.adapter_host import HELLO, Bench
from support.fake_openai import FakeOpenAI
from support.fake_server import FakeServer
from support.fake_vllm import FakeVllm
from support.waiting import eventually

NONSENSE: list[Any] = [
    None,
    [],
    {},
    {"data": None, "models": None},
    {"data": [1, None, {"id": 5}], "models": [1, {"name": 5}, {"name": "x", "details": 3}]},
    {"data": [{"id": "m", "owned_by": 7, "created": "now", "max_model_len": "long"}], "models": {"a": 1}},
    {"models": [{"name": "m", "modified_at": 7}], "model_info": [1], "capabilities": 9, "status": ["ok"]},
]


class Oracle(FakeServer):
    """Answers every question with the same words."""

    def __init__(self, words: bytes, status: int = 200) -> None:
        super().__init__()
        self.words, self.status = words, status

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/{path:.*}", self._say), web.post("/{path:.*}", self._say)]

    async def _say(self, _: web.Request) -> web.Response:
        return web.Response(body=self.words, status=self.status, content_type="application/json")


@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if kind != "embedded"])
@pytest.mark.parametrize("words", [*NONSENSE, b"<html>", b"\xff\xfe", b"[" * 100_000])
async def test_nonsense_is_survived(bench: Bench, kind: str, words: Any) -> None:
    async with Oracle(words if isinstance(words, bytes) else json.dumps(words).encode()) as oracle:
        backend = bench.host.add(BackendConfig(name="o", kind=kind, url=oracle.url))
        await eventually(
            lambda: "not been looked at" not in backend.inspection.reason, what="a first inspection"
        )
        if not backend.inspection.offers:
            assert backend.inspection.state != instance_pb2.STATE_ACTIVE or kind == "ollama"
        await bench.host.drop("o")


@pytest.mark.parametrize("spoiled", ["sk-123\n", " sk-123", "sk-123\r\n"])
async def test_a_line_end_is_no_part_of_a_key(
    bench: Bench, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    """E8: BOX_KEY=$(printf ...) or a file leaves one."""
    fake_openai.api_key = "sk-123"
    monkeypatch.setenv("BOX_KEY", spoiled)
    backend = await bench.serve("openai_compatible", fake_openai.url, api_key_env="BOX_KEY")
    assert backend.inspection.state == instance_pb2.STATE_ACTIVE


@pytest.mark.parametrize("spoiled", ["sk-123\nX-Evil: 1", "sk 123", "sk-\u00fc", "sk-\x00"])
async def test_what_can_be_no_key_names_its_variable(
    bench: Bench, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    """E8: and not the key."""
    box = BackendConfig(name="o", kind="openai_compatible", url=fake_openai.url, api_key_env="BOX_KEY")
    monkeypatch.setattr("os.environ", {**os.environ, "BOX_KEY": spoiled})
    backend = bench.host.add(box)
    await eventually(lambda: "BOX_KEY" in backend.inspection.reason, what="the reason")
    assert "sk" not in backend.inspection.reason
    assert not fake_openai.calls


async def test_a_look_that_fails_is_logged_once_and_not_at_every_look(
    bench: Bench, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E8: a traceback every few seconds fills the disk and says nothing new."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    logged: list[str] = []
    monkeypatch.setattr(
        "nexus_inference_adapters.host.watching.log.exception", lambda text, **_: logged.append(text)
    )
    looks = 0

    async def fails() -> Inspection:
        nonlocal looks
        looks += 1
        raise ValueError("unthought of")

    monkeypatch.setattr(backend.adapter, "inspect", fails)
    while looks < 5:
        backend.look_now.set()
        await asyncio.sleep(0.01)
    assert logged == ["inspection failed"]


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_refusals_are_explained(bench: Bench, status: int) -> None:
    async with Oracle(b"{}", status) as oracle:
        backend = bench.host.add(BackendConfig(name="o", kind="openai_compatible", url=oracle.url))
        await eventually(
            lambda: "not been looked at" not in backend.inspection.reason, what="a first inspection"
        )
        assert backend.inspection.state in {instance_pb2.STATE_UNHEALTHY, instance_pb2.STATE_STARTING}
        assert ("api_key_env" in backend.inspection.reason) == (status in (401, 403))


async def test_a_loading_llama_cpp_is_starting(bench: Bench) -> None:
    class Loading(Oracle):
        def routes(self) -> Iterable[web.RouteDef]:
            return [web.get("/v1/models", self._models), web.get("/health", self._say)]

        async def _models(self, _: web.Request) -> web.Response:
            return web.json_response({"data": [{"id": "m", "owned_by": "llamacpp"}]})

    async with Loading(b'{"error":{"message":"Loading model"}}', 503) as fake:
        backend = bench.host.add(BackendConfig(name="o", kind="openai_compatible", url=fake.url))
        await eventually(lambda: "loading" in backend.inspection.reason, what="the reason")
        assert backend.inspection.state == instance_pb2.STATE_STARTING


async def test_a_backend_that_says_it_is_ill_is_unhealthy(
    bench: Bench, fake_openai: FakeOpenAI, fake_vllm: FakeVllm
) -> None:
    backends = [await bench.serve("openai_compatible", fake.url) for fake in (fake_openai, fake_vllm)]
    fake_openai.healthy = fake_vllm.healthy = False
    await eventually(lambda: states(backends) == {instance_pb2.STATE_UNHEALTHY}, 8.0, "the bad word")
    fake_openai.healthy = fake_vllm.healthy = True
    await eventually(lambda: states(backends) == {instance_pb2.STATE_ACTIVE}, 8.0, "the good word")


def states(backends: list[Backend]) -> set[int]:
    return {backend.inspection.state for backend in backends}


async def test_the_configuration_speaks_where_the_backend_does_not(
    bench: Bench, fake_openai: FakeOpenAI
) -> None:
    backend = await bench.serve(
        "openai_compatible",
        fake_openai.url,
        context_tokens=777,
        capabilities=("vision",),
        operations=("chat",),
        priority=3,
        tier="fast",
    )
    told = backend.describe()
    [model] = told.models
    assert (told.priority, told.tier, model.context_tokens) == (3, "fast", 777)
    assert list(model.capabilities) == [model_pb2.CAPABILITY_VISION]
    assert list(model.operations) == [model_pb2.OPERATION_CHAT]


async def test_the_load_is_told(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url, max_concurrency=3)
    await bench.complete(backend, HELLO)
    load = backend.describe().load
    assert (load.active, load.queued, load.capacity) == (0, 0, 3)
