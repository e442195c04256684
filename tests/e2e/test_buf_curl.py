"""Anyone with the operator's certificate can look into the mesh with an ordinary gRPC tool."""

from __future__ import annotations

import asyncio
import json
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from nexus_cli.instances import listed
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.waiting import eventually

BUF = Path(sysconfig.get_path("scripts")) / "buf"
INFERENCE = "nexus.inference.v1.InferenceService"
SERVICES = {
    "gateway": {INFERENCE, "nexus.inference.v1.RealtimeService"},
    "adapter": {INFERENCE, "nexus.catalog.v1.CatalogService", "nexus.lifecycle.v1.LifecycleService"},
    "registry": {"nexus.registry.v1.RegistryService"},
    "router": {"nexus.router.v1.RouterService", "nexus.router.v1.PolicyService"},
    "vault": {
        "nexus.vault.v1.IdentityService",
        "nexus.vault.v1.KeyService",
        "nexus.vault.v1.TenantService",
    },
}
BUILT_IN = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "nexus.mesh.v1.TunnelService",
}


@pytest_asyncio.fixture
async def mesh(tmp_path: Path, fake_openai: FakeOpenAI) -> AsyncIterator[LiveMesh]:
    async with live_mesh(tmp_path, backend("box", fake_openai.url)) as started:
        yield started


async def test_reflection_health_and_inference_answer_to_buf_curl(mesh: LiveMesh) -> None:
    await eventually(lambda: _all_are_listed(mesh), what="all five to be registered")
    for instance in await listed(mesh.layout):
        where = (mesh, instance.address, instance.server_name)
        methods = (await _buf_curl(*where, "--list-methods")).split()
        assert {method.rpartition("/")[0] for method in methods} == SERVICES[instance.role] | BUILT_IN
        assert json.loads(await _buf_curl(*where, path="grpc.health.v1.Health/Check")) == {
            "status": "SERVING"
        }
        if instance.role in ("gateway", "adapter"):
            await _check_inference(where)


async def _all_are_listed(mesh: LiveMesh) -> bool:
    return {instance.role for instance in await listed(mesh.layout)} == SERVICES.keys()


async def _check_inference(where: tuple[LiveMesh, str, str]) -> None:
    body = json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": "hi"}]})
    envelope = {"operation": "OPERATION_CHAT", "model": "fake-model", "backend": "box", "body": body}
    data = json.dumps({"envelope": envelope})
    answer = json.loads(await _buf_curl(*where, "--data", data, path=f"{INFERENCE}/Complete"))
    assert json.loads(answer["body"])["choices"][0]["finish_reason"] == "stop"
    assert answer["served"]["backend"] == "box"
    streamed = await _buf_curl(*where, "--data", data, path=f"{INFERENCE}/Stream")
    assert '"chunks"' in streamed
    assert '"finish"' in streamed.rsplit("\n}\n", 2)[-2]


async def _buf_curl(mesh: LiveMesh, address: str, server_name: str, *flags: str, path: str = "") -> str:
    identity = mesh.layout.operator
    files = {"--cacert": "bundle.pem", "--cert": "chain.pem", "--key": "key.pem"}
    tls = [part for flag, name in files.items() for part in (flag, str(identity / name))]
    url = f"https://{address}" + (f"/{path}" if path else "")
    process = await asyncio.create_subprocess_exec(
        BUF, "curl", "--protocol", "grpc", *tls, "--servername", server_name, *flags, url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, errors.decode()
    return out.decode()
