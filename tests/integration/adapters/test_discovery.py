"""What listens on this machine is found by what it says."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import support.processes as processes
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.finding import MISSES_TO_DROP, Rescan, discover
from nexus_inference_adapters.discovery.listeners import ANYONE, Owners
from support.adapter_host import HELLO, Bench
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.fake_vllm import FakeVllm
from support.llama_cpp import LlamaCppServer
from support.mlx_server import MlxServer
from support.waiting import eventually

SETTINGS = AdapterSettings.model_construct(backends=(), skip_ports=())
STRANGER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen as somebody else")


@asynccontextmanager
async def listening_as(user: int, host: str, port: int = 0) -> AsyncIterator[FakeOllama]:
    """An engine whose listener the kernel shows as another user's."""
    theirs = FakeOllama()

    os.seteuid(user)
    try:
        await theirs.start(port, host)
    finally:
        os.seteuid(0)
    try:
        yield theirs
    finally:
        await theirs.stop()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def test_every_engine_is_known_by_its_answers(
    fake_ollama: FakeOllama,
    fake_vllm: FakeVllm,
    fake_openai: FakeOpenAI,
    llama_cpp_server: LlamaCppServer,
    mlx_lm_server: MlxServer,
) -> None:
    llama, mlx = port_of(llama_cpp_server.url), port_of(mlx_lm_server.url)
    ports = [fake_ollama.port, fake_vllm.port, fake_openai.port, llama, mlx, processes.free_port()]
    found = await discover(ports)
    assert [(config.name, config.kind) for config in found] == [
        (f"ollama-{fake_ollama.port}", "ollama"),
        (f"vllm-{fake_vllm.port}", "openai_compatible"),
        (f"llama.cpp-{llama}", "openai_compatible"),
        (f"mlx-{mlx}", "mlx"),
    ]


async def test_ports_of_the_mesh_are_left_alone(fake_ollama: FakeOllama) -> None:
    assert await discover([fake_ollama.port], skip=[fake_ollama.port]) == []
    assert fake_ollama.requests == []


@pytest.mark.security
@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_another_users_listener_is_not_even_asked(host: str, fake_ollama: FakeOllama) -> None:
    """A7: on this machine is not mine; unless the operator says whose."""
    async with listening_as(STRANGER, host) as theirs:
        ports = [fake_ollama.port, theirs.port]
        assert [config.name for config in await discover(ports)] == [f"ollama-{fake_ollama.port}"]
        assert theirs.requests == []
        assert len(await discover(ports, owners=Owners([pwd.getpwuid(STRANGER).pw_name]))) == 2
        assert len(await discover(ports, owners=Owners([ANYONE]))) == 2


@pytest.mark.security
@needs_root
async def test_a_port_another_user_takes_over_is_dropped_at_once(bench: Bench) -> None:
    """A7: our engine ended, and theirs took its place before it was missed."""
    ours = FakeOllama()
    await ours.start()
    discovered = DiscoveredBackends(bench.host)
    rescan = Rescan(discovered, SETTINGS, [ours.port])
    await rescan.once()
    assert discovered.hold(next(iter(bench.host.backends)).config, "an announcement too")
    assert [backend.config.name for backend in bench.host.backends] == [f"ollama-{ours.port}"]
    await ours.stop()
    async with listening_as(STRANGER, "127.0.0.1", ours.port):
        await discovered.drop_taken()
        assert list(bench.host.backends) == []
        await rescan.once()
        assert list(bench.host.backends) == []
    await ours.start(ours.port)
    await rescan.once()
    assert [backend.config.name for backend in bench.host.backends] == [f"ollama-{ours.port}"]
    await ours.stop()


async def test_what_is_found_comes_behind_what_is_named(fake_ollama: FakeOllama) -> None:
    """A7"""
    (found,) = await discover([fake_ollama.port])
    assert found.priority > BackendConfig(name="box", kind="ollama", url=fake_ollama.url).priority


async def test_backends_come_and_go(bench: Bench, fake_ollama: FakeOllama) -> None:
    rescan = Rescan(DiscoveredBackends(bench.host), SETTINGS, [fake_ollama.port])
    await rescan.once()
    await rescan.once()
    [backend] = bench.host.backends
    await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, what="it to be active")
    assert await bench.complete(backend, {**HELLO, "model": "llama3.2"})
    await fake_ollama.stop()
    await rescan.once()
    assert list(bench.host.backends) == [backend]
    await eventually(
        lambda: backend.inspection.state == instance_pb2.STATE_UNHEALTHY, 8.0, "it to be unhealthy"
    )
    for _ in range(MISSES_TO_DROP):
        await rescan.once()
    assert list(bench.host.backends) == []
    assert list(bench.board.get().backends) == []


async def test_a_configured_backend_is_never_replaced_or_dropped(
    bench: Bench, fake_ollama: FakeOllama
) -> None:
    name = f"ollama-{fake_ollama.port}"
    backend = await bench.serve("ollama", fake_ollama.url, name=name)
    rescan = Rescan(DiscoveredBackends(bench.host), SETTINGS, [fake_ollama.port])
    await rescan.once()
    await fake_ollama.stop()
    for _ in range(MISSES_TO_DROP):
        await rescan.once()
    assert list(bench.host.backends) == [backend]
