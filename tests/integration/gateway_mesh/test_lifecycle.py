"""Models managed over HTTP, through a whole gateway and a real adapter; and never with an API key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from nexus.router.v1 import snapshot_pb2
from nexus.vault.v1 import keys_pb2
from nexus_gateway.app import open_gateway
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Peer
from support.adapter_server import serve_adapter_process
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.gateway_bench import GatewayBench
from support.waiting import eventually

KEY = "nx_test_abcdefghijkl_secret"
MISTRAL = OllamaModel("mistral:latest")


@asynccontextmanager
async def endpoint(bench: GatewayBench, fake: FakeOllama, **changes: Any) -> AsyncIterator[str]:
    """The URL of a gateway that knows two backends of one engine, "one" and "two"; "two" has only llava."""
    backends = (
        BackendConfig(name="one", kind="ollama", url=fake.url),
        BackendConfig(name="two", kind="ollama", url=fake.url, models=("llava",)),
    )
    adapting = serve_adapter_process(bench.home / "adapter", *backends, authority=bench.ca)
    async with (
        adapting as (peer, adapter),
        Mesh(bench.settings(**changes), bench.ca.identity("gateway")) as mesh,
    ):
        bench.control.router.show(*_targets(peer, adapter), aliases={"gpt-4o": "llama3.2:latest"})
        async with open_gateway(mesh):
            url = f"http://{mesh.status.get().endpoints['http']}"
            await eventually(lambda: _is_ready(url), what="the gateway")
            yield f"{url}/v1/models"


def _targets(peer: Peer, adapter: Mesh[Any]) -> list[snapshot_pb2.Target]:
    spiffe = adapter.identity.spiffe
    instance = spiffe.instance_id
    return [
        snapshot_pb2.Target(
            id=f"{instance}#{one.name}",
            instance=instance,
            address=peer.address,
            server_name=peer.server_name,
            zone=spiffe.zone,
            backend=one.name,
            kind=one.kind,
            state=one.state,
            models=one.models,
            abilities=one.abilities,
        )
        for one in adapter.status.get().backends
    ]


async def _is_ready(url: str) -> bool:
    return (await send("GET", f"{url}/readyz"))[0] == 200


async def send(method: str, url: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    """The status, and the body as JSON, or as text where it is a stream."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url, json=body) as answer,
    ):
        plain = answer.content_type == "application/json"
        return answer.status, (await answer.json() if plain else await answer.text())


async def test_the_life_of_a_model(bench: GatewayBench, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.pullable[MISTRAL.name] = MISTRAL
    async with endpoint(bench, fake_ollama) as models:
        status, told = await send("POST", f"{models}/llama3.2/load")
        assert (status, told["id"], told["state"]) == (200, "llama3.2:latest", "loaded")
        assert {one.model.name for one in fake_ollama.engine.loaded} == {"llama3.2:latest"}
        status, told = await send("POST", f"{models}/gpt-4o/unload")
        assert (status, told["id"], told["state"]) == (200, "llama3.2:latest", "unloaded")
        assert not fake_ollama.engine.loaded
        status, text = await send("POST", f"{models}/pull", {"model": "mistral", "backend": "one"})
        assert status == 200
        assert "model.pull.done" in text
        assert text.endswith("data: [DONE]\n\n")
        assert MISTRAL.name in fake_ollama.engine.models
        status, told = await send("DELETE", f"{models}/qwen3:8b")
        assert (status, told["deleted"]) == (200, True)
        assert "qwen3:8b" not in fake_ollama.engine.models


async def test_where_several_come_into_question_they_are_named(
    bench: GatewayBench, fake_ollama: FakeOllama
) -> None:
    async with endpoint(bench, fake_ollama) as models:
        status, told = await send("POST", f"{models}/llava/load")
        assert (status, told["error"]["param"]) == (400, "backend")
        assert "#one" in told["error"]["message"]
        assert "#two" in told["error"]["message"]
        assert (await send("POST", f"{models}/pull", {"model": "mistral"}))[0] == 400
        assert (await send("POST", f"{models}/llava/load?backend=two"))[1]["backend"] == "two"
        assert (await send("POST", f"{models}/llava/load?backend=three"))[0] == 404
        assert (await send("POST", f"{models}/llama3.2/load?backend=two"))[0] == 404
        assert (await send("POST", f"{models}/nothing/load"))[0] == 404
        status, told = await send("DELETE", f"{models}/gpt-4o")
        assert (status, "alias" in told["error"]["message"]) == (400, True)
        assert "llama3.2:latest" in fake_ollama.engine.models


async def test_a_pull_of_what_is_nowhere_ends_with_its_error(
    bench: GatewayBench, fake_ollama: FakeOllama
) -> None:
    async with endpoint(bench, fake_ollama) as models:
        _, text = await send("POST", f"{models}/pull", {"model": "nothing", "backend": "one"})
    assert "model_not_found" in (text if isinstance(text, str) else text["error"]["code"])
    assert "[DONE]" not in text


async def test_a_key_may_ask_models_and_not_manage_them(bench: GatewayBench, fake_ollama: FakeOllama) -> None:
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="admin")
    async with endpoint(bench, fake_ollama, auth="keys") as models:
        assert (await send("GET", models, key=KEY))[0] == 200
        for method, url, body in (
            ("POST", f"{models}/llama3.2/load", None),
            ("POST", f"{models}/llama3.2/unload", None),
            ("POST", f"{models}/nothing/load", None),
            ("POST", f"{models}/pull", {"model": "mistral", "backend": "one"}),
            ("DELETE", f"{models}/llama3.2", None),
        ):
            assert (await send(method, url, body))[0] == 401
            status, told = await send(method, url, body, KEY)
            assert (status, told["error"]["code"]) == (403, "insufficient_permissions")
            assert "nexus pull" in told["error"]["message"]
    assert not {"/api/pull", "/api/delete", "/api/generate"} & {*fake_ollama.paths}


async def test_a_key_made_for_it_may_manage_models(bench: GatewayBench, fake_ollama: FakeOllama) -> None:
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="admin", manage=True)
    async with endpoint(bench, fake_ollama, auth="keys") as models:
        assert (await send("POST", f"{models}/llava/load?backend=two", key=KEY))[0] == 200
