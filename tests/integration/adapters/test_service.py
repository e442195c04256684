"""The adapter's gRPC face: open_adapter on a real mesh server, called as a gateway calls it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import support.fake_openai_modes as modes
from nexus.catalog.v1 import catalog_pb2
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Method, Peer
from support.adapter_host import HELLO
from support.adapter_server import serve_adapter_process
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.waiting import eventually

INFERENCE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(INFERENCE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
STREAM = Method(INFERENCE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)
LIST = Method(
    "nexus.catalog.v1.CatalogService",
    "ListModels",
    catalog_pb2.ListModelsRequest,
    catalog_pb2.ListModelsResponse,
)


@pytest.fixture
async def gateway(fake_openai: FakeOpenAI, fake_ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Peer]:
    """A gateway's connection to an adapter with backends "box", "ollama" and one of another zone."""
    backends = (
        BackendConfig(name="box", kind="openai_compatible", url=fake_openai.url, zone="default"),
        BackendConfig(name="ollama", kind="ollama", url=fake_ollama.url),
        BackendConfig(name="vault-box", kind="openai_compatible", url=fake_openai.url, zone="restricted"),
    )
    async with serve_adapter_process(tmp_path, *backends) as (peer, mesh):
        assert [one.name for one in mesh.status.get().backends] == ["box", "ollama"]
        yield peer


def envelope(**changes: Any) -> inference_pb2.Envelope:
    fields: dict[str, Any] = {
        "operation": model_pb2.OPERATION_CHAT,
        "model": "fake-model",
        "body": json.dumps(HELLO),
        "backend": "box",
    }
    return inference_pb2.Envelope(**{**fields, **changes})


async def test_complete(gateway: Peer) -> None:
    answer = await gateway.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope()), timeout=5)
    assert json.loads(answer.body)["choices"][0]["finish_reason"] == "stop"
    assert (answer.served.backend, answer.served.model) == ("box", "fake-model")
    assert answer.served.instance == "n1/adapter/main"
    assert answer.usage.completion_tokens == 5


async def test_stream(gateway: Peer) -> None:
    async with gateway.stream(STREAM, inference_pb2.StreamRequest(envelope=envelope()), timeout=5) as call:
        messages = [message async for message in call]
    assert [message.WhichOneof("event") for message in messages[-1:]] == ["finish"]
    assert messages[0].served.backend == "box"
    assert not any(message.HasField("served") for message in messages[1:])
    assert messages[-1].finish.usage.completion_tokens == 5


async def test_the_served_model_is_spelled_as_in_the_catalog(gateway: Peer) -> None:
    asked = envelope(backend="ollama", model="llama3.2")
    answer = await gateway.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=asked), timeout=5)
    assert answer.served.model == json.loads(answer.body)["model"] == "llama3.2:latest"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backend": ""}, Reason.INVALID_REQUEST),
        ({"backend": "gone"}, Reason.BACKEND_DOWN),
        ({"backend": "vault-box"}, Reason.BACKEND_DOWN),
        ({"body": "[1]"}, Reason.INVALID_REQUEST),
        ({"body": "{"}, Reason.INVALID_REQUEST),
        ({"body": '{"a":' * 100_000}, Reason.INVALID_REQUEST),
        ({"operation": 0}, Reason.INVALID_REQUEST),
        ({"operation": 99}, Reason.INVALID_REQUEST),
        ({"model": "other"}, Reason.MODEL_NOT_FOUND),
        ({"operation": model_pb2.OPERATION_SPEECH}, Reason.INVALID_REQUEST),
    ],
)
async def test_envelopes_that_cannot_be_served(
    gateway: Peer, changes: dict[str, Any], reason: Reason
) -> None:
    with pytest.raises(MeshError) as caught:
        await gateway.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope(**changes)), timeout=5)
    assert caught.value.reason is reason


async def test_embeddings_do_not_stream(gateway: Peer) -> None:
    request = inference_pb2.StreamRequest(envelope=envelope(operation=model_pb2.OPERATION_EMBEDDING))
    with pytest.raises(MeshError) as caught:
        async with gateway.stream(STREAM, request, timeout=5) as call:
            await anext(aiter(call))
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("leave_by", ["cancel", "deadline"])
async def test_the_end_of_the_call_is_the_end_of_the_work(
    gateway: Peer, fake_openai: FakeOpenAI, leave_by: str
) -> None:
    fake_openai.mode = modes.ok(1000, interval=0.05)
    timeout = 0.5 if leave_by == "deadline" else 30
    call = asyncio.ensure_future(
        gateway.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope()), timeout=timeout)
    )
    await eventually(lambda: fake_openai.in_flight, what="the request to arrive")
    if leave_by == "cancel":
        call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await eventually(lambda: fake_openai.calls[-1].cancelled, 1.0, "the backend to be told")


async def test_pages_of_models(gateway: Peer) -> None:
    rows: list[tuple[str, str]] = []
    token = ""
    while True:
        page = await gateway.unary(
            LIST, catalog_pb2.ListModelsRequest(page_size=2, page_token=token), timeout=5
        )
        assert len(page.models) <= 2
        rows += [(row.backend, row.model.id) for row in page.models]
        token = page.next_page_token
        if not token:
            break
    assert rows == sorted(rows)
    assert len(rows) == 6
    only = await gateway.unary(LIST, catalog_pb2.ListModelsRequest(backend="box"), timeout=5)
    assert [row.model.id for row in only.models] == ["fake-model"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (catalog_pb2.ListModelsRequest(page_size=-1), Reason.INVALID_REQUEST),
        (catalog_pb2.ListModelsRequest(page_token="%%"), Reason.INVALID_REQUEST),
        (catalog_pb2.ListModelsRequest(backend="nobody"), Reason.OBJECT_NOT_FOUND),
    ],
)
async def test_listings_that_cannot_be_made(
    gateway: Peer, request_: catalog_pb2.ListModelsRequest, reason: Reason
) -> None:
    with pytest.raises(MeshError) as caught:
        await gateway.unary(LIST, request_, timeout=5)
    assert caught.value.reason is reason
