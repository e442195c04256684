"""The gateway put together: HTTP and gRPC in front of one pipeline, and an orderly end."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2
from nexus_gateway.dispatch.attempts import COMPLETE, STREAM
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Peer
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter, text_of
from support.waiting import eventually
from support.whole_gateway import gateway

KEY = "nx_test_abcdefghijkl_secret"
BODY = '{"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}'


async def ask(client: openai.AsyncOpenAI) -> Any:
    """The raw HTTP answer."""
    return await client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "hi"}]
    )


async def shown(bench: GatewayBench, client: openai.AsyncOpenAI, places: int = 0) -> ScriptedAdapter:
    """An adapter whose model the gateway already lists."""
    box = await bench.adapter("box")
    bench.control.router.show(box.target(capacity=places), aliases={"gpt-4o": "m"})
    for _ in range(500):
        if [model.id async for model in client.models.list()] == ["gpt-4o", "m"]:
            return box
        await asyncio.sleep(0.01)
    raise TimeoutError("the gateway never listed the models")


async def test_openai_client_gets_whole_and_streamed_answers(bench: GatewayBench) -> None:
    async with gateway(bench) as served, served.client() as client:
        await shown(bench, client)
        answer = await ask(client)
        assert answer.headers["x-nexus-backend"] == "box"
        assert answer.http_response.json()["choices"][0]["message"]["content"] == "one two three"
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(parts) == "one two three"


async def test_a_model_has_the_same_names_everywhere(bench: GatewayBench) -> None:
    """D12: what a chat takes, GET /v1/models/{name} knows; and what neither knows has a hint."""
    async with gateway(bench) as served, served.client() as client:
        box = await bench.adapter("box")
        bench.control.router.show(box.target("demo:latest"), aliases={"gpt-4o": "demo:latest"})

        async def listed() -> bool:
            return bool((await client.models.list()).data)

        await eventually(listed, what="the model")
        for name in ("demo", "demo:latest", "gpt-4o"):
            assert (await client.models.retrieve(name)).id == name
            answer = await client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "hi"}]
            )
            assert answer.choices[0].message.content == "one two three"
        for name in ("DEMO", "demmo"):
            with pytest.raises(openai.NotFoundError, match="Did you mean 'demo:latest'") as unknown:
                await client.models.retrieve(name)
            with pytest.raises(openai.NotFoundError, match="Did you mean 'demo:latest'") as asked:
                await client.chat.completions.create(model=name, messages=[{"role": "user", "content": "hi"}])
            assert unknown.value.body == asked.value.body


async def test_key_is_wanted_when_keys_are(bench: GatewayBench) -> None:
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="mine")
    async with (
        gateway(bench, auth="keys") as served,
        served.client(KEY) as client,
        served.client("no") as stranger,
    ):
        await shown(bench, client)
        with pytest.raises(openai.AuthenticationError):
            await ask(stranger)


async def test_internal_callers_take_the_same_way(bench: GatewayBench) -> None:
    async with gateway(bench, auth="keys") as served:
        box = await bench.adapter("box")
        bench.control.router.show(box.target("m"), aliases={"alias": "m"})
        body = BODY.replace('"model": "m", ', "")
        peer = Peer(
            served.grpc_address, bench.ca.spiffe("gateway").server_name, bench.ca.identity("operator")
        )
        envelope = inference_pb2.Envelope(
            operation=model_pb2.OPERATION_CHAT, model="alias", body=body, request_id="req_mine"
        )
        await eventually(lambda: "http" in served.mesh.status.get().endpoints, what="the endpoint")
        answer = await until_known(peer, envelope)
        assert (answer.served.backend, box.seen[-1].request_id) == ("box", "req_mine")
        async with peer.stream(STREAM, inference_pb2.StreamRequest(envelope=envelope), timeout=5) as call:
            received = [message async for message in call]
        assert "".join(map(text_of, received)) == "one two three"
        assert received[-1].HasField("finish")
        await peer.close()


@pytest.mark.parametrize(
    ("named", "in_body", "param"),
    [
        ("m", "m", ""),
        ("m", None, ""),
        ("", "m", ""),
        ("m", "other", "model"),
        ("", None, "model"),
        ("m", 5, "model"),
    ],
)
async def test_the_model_is_named_once_or_twice_alike(
    bench: GatewayBench, named: str, in_body: object, param: str
) -> None:
    """E10: the envelope's name fills the body; two different ones are refused, for one would lose in silence."""
    async with gateway(bench) as served:
        box = await bench.adapter("box")
        bench.control.router.show(box.target())
        name = bench.ca.spiffe("gateway").server_name
        peer = Peer(served.grpc_address, name, bench.ca.identity("operator"))
        known = inference_pb2.Envelope(operation=model_pb2.OPERATION_CHAT, model="m", body=BODY)
        await until_known(peer, known)
        body = {"messages": [{"role": "user", "content": "hi"}]} | (
            {} if in_body is None else {"model": in_body}
        )
        envelope = inference_pb2.Envelope(
            operation=model_pb2.OPERATION_CHAT, model=named, body=json.dumps(body)
        )
        request = inference_pb2.CompleteRequest(envelope=envelope)
        if not param:
            assert (await peer.unary(COMPLETE, request, timeout=5)).served.model == "m"
            assert json.loads(box.seen[-1].body)["model"] == "m"
        else:
            with pytest.raises(MeshError) as caught:
                await peer.unary(COMPLETE, request, timeout=5)
            assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.INVALID_REQUEST, param)
        await peer.close()


async def test_internal_callers_may_say_how_urgent_it_is(bench: GatewayBench) -> None:
    async with gateway(bench) as served:
        box = await bench.adapter("box")
        bench.control.router.show(box.target())
        name = bench.ca.spiffe("gateway").server_name
        peer = Peer(served.grpc_address, name, bench.ca.identity("operator"))
        envelope = inference_pb2.Envelope(operation=model_pb2.OPERATION_CHAT, model="m", body=BODY)
        envelope.priority = inference_pb2.PRIORITY_HIGH
        assert (await until_known(peer, envelope)).served.backend == "box"
        envelope.priority = 9  # type: ignore[assignment] - whatever a newer caller may send
        with pytest.raises(MeshError) as caught:
            await peer.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope), timeout=5)
        assert caught.value.reason is Reason.INVALID_REQUEST
        await peer.close()


async def test_a_saturated_gateway_says_when_to_come_back(bench: GatewayBench) -> None:
    async with gateway(bench, queue={"wait": 0.05}) as served, served.client() as client:
        box = await shown(bench, client, places=1)
        box.mode = "held"
        running = asyncio.create_task(ask(client))
        await eventually(lambda: box.active == 1, what="the request to arrive")
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(client)
        answer = caught.value.response
        assert (answer.status_code, caught.value.code) == (503, "overloaded")
        assert (answer.headers["x-should-retry"], int(answer.headers["retry-after"]) >= 1) == ("true", True)
        box.let_go()
        await running


async def test_a_stream_begun_while_it_waits_names_nobody(bench: GatewayBench) -> None:
    queue = {"wait": 60, "stretch": 1000}
    async with gateway(bench, commit_after=0.1, queue=queue) as served, served.client() as client:
        box = await shown(bench, client, places=1)
        box.mode = "held"
        running = asyncio.create_task(ask(client))
        await eventually(lambda: box.active == 1, what="the request to arrive")
        answer = await client.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert [name for name in answer.headers if name.startswith("x-nexus-")] == []
        box.let_go(2)
        parts = [chunk.choices[0].delta.content or "" async for chunk in answer.parse() if chunk.choices]
        assert "".join(parts) == "one two three"
        await running


async def test_internal_callers_are_checked_too(bench: GatewayBench) -> None:
    async with gateway(bench) as served:
        name = bench.ca.spiffe("gateway").server_name
        operator = Peer(served.grpc_address, name, bench.ca.identity("operator"))
        adapter = Peer(served.grpc_address, name, bench.ca.identity("adapter"))
        bad = inference_pb2.CompleteRequest(
            envelope=inference_pb2.Envelope(operation=model_pb2.OPERATION_CHAT, model="m", body="{")
        )
        none = inference_pb2.CompleteRequest(envelope=inference_pb2.Envelope(model="m", body=BODY))
        for peer, request, reason in (
            (operator, bad, Reason.INVALID_REQUEST),
            (operator, none, Reason.INVALID_REQUEST),
            (adapter, bad, Reason.MESH_POLICY),
        ):
            with pytest.raises(MeshError) as caught:
                await peer.unary(COMPLETE, request, timeout=5)
            assert caught.value.reason is reason
        await operator.close()
        await adapter.close()


async def test_drain_lets_running_streams_end(bench: GatewayBench) -> None:
    async with gateway(bench, drain_settle=0.3, drain_grace=5) as served, served.client() as client:
        box = await shown(bench, client)
        box.delay = 0.8
        asking = asyncio.create_task(ask(client))
        await eventually(lambda: box.active == 1, what="the request to arrive")
        served.mesh.draining.set()
        assert (await asyncio.to_thread(status_of, f"http://{served.http}/readyz")) == 503
        assert (await asking).status_code == 200
    with pytest.raises(OSError):  # noqa: PT011 - which errno is the system's choice
        await asyncio.open_connection(*served.http.rsplit(":", 1))


def status_of(url: str) -> int:
    """The HTTP status of a GET."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    finally:
        connection.close()


async def until_known(peer: Peer, envelope: inference_pb2.Envelope) -> inference_pb2.CompleteResponse:
    """The answer, once the gateway has its first snapshot."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await peer.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope), timeout=5)
            except MeshError as error:
                if error.reason is not Reason.NOT_READY:
                    raise
            await asyncio.sleep(0.01)
