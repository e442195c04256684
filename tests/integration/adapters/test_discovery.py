"""What listens on this machine is found by what it says."""

from __future__ import annotations

import support.processes as processes
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.discovery import MISSES_TO_DROP, Rescan, discover
from nexus_inference_adapters.holdings import Holdings
from support.adapter_host import HELLO, Bench
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.fake_vllm import FakeVllm
from support.llama_cpp import LlamaCppServer
from support.mlx_server import MlxServer
from support.waiting import eventually


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


async def test_backends_come_and_go(bench: Bench, fake_ollama: FakeOllama) -> None:
    settings = AdapterSettings.model_construct(backends=(), skip_ports=())
    rescan = Rescan(Holdings(bench.host), settings, [fake_ollama.port])
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
    settings = AdapterSettings.model_construct(backends=(), skip_ports=())
    rescan = Rescan(Holdings(bench.host), settings, [fake_ollama.port])
    await rescan.once()
    await fake_ollama.stop()
    for _ in range(MISSES_TO_DROP):
        await rescan.once()
    assert list(bench.host.backends) == [backend]
