"""The embedded engine: a child process that answers, is restarted when it dies, and never outlives its parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.waiting import eventually

SHORT = {**HELLO, "max_tokens": 4, "temperature": 0}
MODULE = "nexus_inference_adapters.embedded_server"


def engines(parent: int | None = None) -> list[psutil.Process]:
    return [child for child in psutil.Process(parent).children() if _is_engine(child)]


def _is_engine(child: psutil.Process) -> bool:
    try:
        return MODULE in child.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # killed, and perhaps not reaped yet
        return False


async def test_it_answers_under_its_own_name(bench: Bench, tiny_gguf: Path) -> None:
    backend = await bench.serve("embedded", path=tiny_gguf)
    [offer] = backend.inspection.offers
    assert offer.model.id == "tiny"
    assert list(offer.model.operations) == [model_pb2.OPERATION_CHAT, model_pb2.OPERATION_COMPLETION]
    whole = (await bench.complete(backend, SHORT))["choices"][0]["message"]["content"]
    assert (await bench.stream(backend, SHORT)).text() == whole


async def test_the_child_knows_no_secrets(
    bench: Bench, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOX_KEY", "sk-canary")
    await bench.serve("embedded", path=tiny_gguf)
    [child] = engines()
    assert "sk-canary" not in json.dumps(child.environ())
    assert child.cmdline()[-2:] == ["-m", MODULE]


async def test_strangers_on_the_machine_are_refused(bench: Bench, tiny_gguf: Path) -> None:
    await bench.serve("embedded", path=tiny_gguf)
    [child] = engines()
    [address] = {connection.laddr for connection in child.net_connections() if connection.status == "LISTEN"}
    assert address.ip == "127.0.0.1"
    stranger = BackendConfig(name="s", kind="openai_compatible", url=f"http://127.0.0.1:{address.port}")
    backend = bench.host.add(stranger)
    await eventually(lambda: "api_key_env" in backend.inspection.reason, what="the refusal")


async def test_a_killed_engine_is_started_again(bench: Bench, tiny_gguf: Path) -> None:
    backend = await bench.serve("embedded", path=tiny_gguf)
    [child] = engines()
    stream = asyncio.ensure_future(bench.stream(backend, {**HELLO, "max_tokens": 2000}))
    await eventually(lambda: backend.describe().load.active, what="the stream to run")
    child.kill()
    with pytest.raises(MeshError) as caught:
        await stream
    assert caught.value.reason in {Reason.BACKEND_LOST, Reason.BACKEND_DOWN}
    await eventually(lambda: engines() and engines()[0].pid != child.pid, 10.0, "a new engine")
    await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, 10.0, "it to be active")
    assert (await bench.complete(backend, SHORT))["choices"]


async def test_a_file_that_is_no_model_is_explained(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "not.gguf"
    path.write_bytes(b"GIF89a")
    backend = bench.host.add(BackendConfig(name="x", kind="embedded", path=path))
    await eventually(lambda: "not a GGUF file" in backend.inspection.reason, what="the explanation")
    assert backend.inspection.state == instance_pb2.STATE_UNHEALTHY
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**SHORT, "model": "x"})
    assert caught.value.reason is Reason.BACKEND_DOWN


async def test_a_model_llama_cpp_cannot_load_is_unhealthy_until_the_file_is_mended(
    bench: Bench, tiny_gguf: Path, tmp_path: Path
) -> None:
    path = tmp_path / "alien.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"llama", b"alien"))
    backend = bench.host.add(BackendConfig(name="x", kind="embedded", path=path))
    await eventually(lambda: "'alien'" in backend.inspection.reason, what="the explanation")
    assert "could not load alien.gguf" in backend.inspection.reason
    assert backend.inspection.state == instance_pb2.STATE_UNHEALTHY
    path.write_bytes(tiny_gguf.read_bytes())
    await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, 20.0, "it to be active")


async def test_dropping_it_ends_the_child(bench: Bench, tiny_gguf: Path) -> None:
    backend = await bench.serve("embedded", path=tiny_gguf)
    assert len(engines()) == 1
    await bench.host.drop(backend.config.name)
    assert engines() == []


PARENT = """
import asyncio, sys
from pathlib import Path
from support.adapter_host import adapter_bench

async def main():
    async with adapter_bench() as bench:
        await bench.serve("embedded", path=Path(sys.argv[1]))
        print("up", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_it_dies_with_its_parent(tiny_gguf: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tiny_gguf), stdout=subprocess.PIPE, env=environment
    )
    try:
        assert parent.stdout is not None
        async with asyncio.timeout(30):
            while await parent.stdout.readline() not in (b"up\n", b""):
                continue
        [child] = engines(parent.pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
    await eventually(
        lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end"
    )
