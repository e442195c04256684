"""Images of a chat given by links: fetched once somebody may see them, before they go anywhere, or refused with why."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError
from nexus_mesh.rpc import Method, Peer
from support.attacks import Attacks
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually
from support.web_server import PNG, WebServer, shut_doors, web_server
from support.whole_gateway import Gateway, gateway

DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()
CHAT = model_pb2.OPERATION_CHAT
COMPLETE = Method(
    "nexus.inference.v1.InferenceService",
    "Complete",
    inference_pb2.CompleteRequest,
    inference_pb2.CompleteResponse,
)


def message(*urls: str) -> list[Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


def urls_of(envelope: inference_pb2.Envelope) -> list[str]:
    (asked,) = json.loads(envelope.body)["messages"]
    return [part["image_url"]["url"] for part in asked["content"] if part["type"] == "image_url"]


@asynccontextmanager
async def serving(
    bench: GatewayBench, *private: str, **changes: Any
) -> AsyncIterator[tuple[Gateway, ScriptedAdapter]]:
    """Model m sees, model blind does not."""
    box = await bench.adapter("one")
    target = box.target("m", "blind")
    target.models[0].capabilities.append(model_pb2.CAPABILITY_VISION)
    bench.control.router.show(target)
    async with gateway(bench, auth="open", fetch_private=private, **changes) as running:

        async def knows() -> bool:
            async with running.client() as client:
                return len((await client.models.list()).data) == 2

        await eventually(knows, what="the models")
        yield running, box


async def ask(running: Gateway, *urls: str, model: str = "m", **more: Any) -> Any:
    async with running.client() as client:
        return await client.chat.completions.create(model=model, messages=message(*urls), **more)


async def refusal(running: Gateway, *urls: str, model: str = "m") -> dict[str, Any]:
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(running, *urls, model=model)
    assert isinstance(refused.value.body, dict)
    assert "secret" not in str(refused.value.body)
    return refused.value.body


@asynccontextmanager
async def both(
    bench: GatewayBench, **changes: Any
) -> AsyncIterator[tuple[Gateway, ScriptedAdapter, WebServer]]:
    async with (
        web_server() as server,
        serving(bench, f"127.0.0.1:{server.port}", **changes) as (running, box),
    ):
        yield running, box, server


async def test_links_become_data_before_they_go_on(bench: GatewayBench) -> None:
    async with both(bench) as (running, box, server):
        link, other = server.url("/picture.png"), server.url("/unnamed")
        await ask(running, link, DATA, other, link)
        assert urls_of(box.seen[-1]) == [DATA] * 4
        assert server.connections == 2, "each once"
        async for _ in await ask(running, link, stream=True):
            pass
        assert urls_of(box.seen[-1]) == [DATA]


async def test_a_client_of_the_mesh_gets_the_same(bench: GatewayBench) -> None:
    async with both(bench) as (running, box, server):
        identity = bench.ca.identity("operator")
        peer = Peer(running.grpc_address, running.mesh.identity.spiffe.server_name, identity)
        body = {"messages": message(server.url("/picture.png"))}
        envelope = inference_pb2.Envelope(operation=CHAT, model="m", body=json.dumps(body))
        await peer.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=envelope), timeout=30)
        assert urls_of(box.seen[-1]) == [DATA]
        bad = inference_pb2.Envelope(
            operation=CHAT, model="m", body=json.dumps({"messages": message("http://10.0.0.1/")})
        )
        with pytest.raises(MeshError) as refused:
            await peer.unary(COMPLETE, inference_pb2.CompleteRequest(envelope=bad), timeout=30)
        assert refused.value.metadata["code"] == "invalid_image_url"
        await peer.close()


async def test_nothing_is_fetched_for_who_cannot_be_served(bench: GatewayBench) -> None:
    async with both(bench) as (running, _, server):
        link = server.url("/picture.png")
        for model in ("blind", "unknown"):
            with pytest.raises(openai.APIStatusError):
                await ask(running, link, model=model)
        told = await refusal(running, *(f"{link}?{n}" for n in range(9)))
        assert (told["code"], told["param"]) == ("invalid_image_url", "messages[0].content[9].image_url.url")
        assert server.connections == 0


@pytest.mark.parametrize(
    ("path", "code", "told"),
    [
        ("/missing", "invalid_image_url", "status 404"), ("/page", "invalid_image_url", "something else"),
        ("/liar", "invalid_image", "does not hold"), ("/bomb", "invalid_image_url", "compressed"),
        ("/endless", "invalid_image_url", "bytes that may come"), ("/slow", "invalid_image_url", "within 5 s"),
    ],
)  # fmt: skip
async def test_what_cannot_be_had_is_refused_with_why(
    bench: GatewayBench, path: str, code: str, told: str
) -> None:
    async with both(bench) as (running, box, server):
        body = await refusal(running, DATA, server.url(path))
        assert body["code"] == code
        assert body["param"] == "messages[0].content[2].image_url.url"
        assert told in body["message"]
        assert not box.seen


async def test_what_is_fetched_counts_as_what_is_sent(bench: GatewayBench) -> None:
    """Room for bodies is taken while the request runs; together the images stay within what a request may have."""
    async with both(bench) as (running, box, server):
        large = server.url("/large?size=9000000")
        with pytest.raises(openai.APIStatusError) as refused:
            await ask(running, large, large + "&2")
        assert refused.value.status_code == 413
        box.mode = "held"
        asking = asyncio.create_task(ask(running, large))
        await eventually(lambda: box.seen, timeout=20, what="the request at the backend")
        async with running.client() as client:
            metrics = await client.with_options().get("../metrics", cast_to=str)
        held = next(
            line for line in metrics.splitlines() if line.startswith("nexus_gateway_http_body_bytes ")
        )
        assert float(held.split()[1]) > 11_000_000
        box.let_go()
        await asking
        async with running.client() as client:
            metrics = await client.with_options().get("../metrics", cast_to=str)
        assert "nexus_gateway_http_body_bytes 0.0" in metrics


@pytest.mark.security
async def test_no_link_leads_into_the_mesh(bench: GatewayBench, attacks: Attacks) -> None:
    async with shut_doors() as doors, both(bench) as (running, box, server):
        mesh = [
            running.http,
            running.grpc_address,
            f"127.0.0.1:{doors.port}",
            f"[::ffff:127.0.0.1]:{doors.port}",
        ]
        direct = [f"http://{address}/v1/models" for address in mesh] + [
            "http://169.254.169.254/", "file:///etc/passwd", "gopher://127.0.0.1/", f"http://2130706433:{doors.port}/",
            f"http://good.tld@127.0.0.1:{doors.port}/", f"http://[64:ff9b::7f00:1]:{doors.port}/", "http://[fd00::1]/",
        ]  # fmt: skip
        for url in [*direct, *(server.url(f"/to?url={url}") for url in direct)]:
            attacks.count()
            assert (await refusal(running, url))["code"] == "invalid_image_url"
        assert doors.opened == 0
        assert not box.seen


async def test_the_operator_can_have_nothing_fetched(bench: GatewayBench) -> None:
    async with both(bench, fetch_urls=False) as (running, _, server):
        told = await refusal(running, server.url("/picture.png"))
        assert told["code"] == "invalid_image_url"
        assert server.connections == 0


async def test_where_a_chat_would_go_is_explained_without_fetching(bench: GatewayBench) -> None:
    async with both(bench) as (running, _, server), running.client() as client:
        body = {"model": "m", "messages": message(server.url("/picture.png"))}
        told: Any = await client.post("/route/explain", body=body, cast_to=object)
        assert told["candidates"][0]["backend"] == "one"
        assert server.connections == 0


EDIT, READ = model_pb2.OPERATION_IMAGE_EDIT, model_pb2.OPERATION_OCR
FIELDS: dict[str, tuple[str, str, Any]] = {
    "messages[0].content[1].image_url.url": (
        "/v1/chat/completions", "invalid_image_url", lambda url: {"messages": message(url)},
    ),
    "images[0].image_url": (
        "/v1/images/edits", "invalid_image_url", lambda url: {"prompt": "x", "images": [{"image_url": url}]},
    ),
    "mask.image_url": (
        "/v1/images/edits", "invalid_image_url",
        lambda url: {"prompt": "x", "images": [{"image_url": DATA}], "mask": {"image_url": url}},
    ),
    "document.document_url": (
        "/v1/ocr", "invalid_file", lambda url: {"document": {"type": "document_url", "document_url": url}},
    ),
    "document.image_url": (
        "/v1/ocr", "invalid_file", lambda url: {"document": {"type": "image_url", "image_url": url}},
    ),
}  # fmt: skip
"""Every field of a body that may hold a URL: its endpoint, what a wrong one is called, and a body with one."""


async def post(running: Gateway, field: str, url: str) -> tuple[int, Any]:
    path, _, body = FIELDS[field]
    sent = {"model": "m", **body(url)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{running.http}{path}", json=sent) as answer,
    ):
        return answer.status, await answer.json()


@asynccontextmanager
async def everything(
    bench: GatewayBench, **changes: Any
) -> AsyncIterator[tuple[Gateway, ScriptedAdapter, WebServer]]:
    async with both(bench, **changes) as (running, box, server):
        target = box.target("m", operations=[CHAT, EDIT, READ])
        target.models[0].capabilities.append(model_pb2.CAPABILITY_VISION)
        bench.control.router.show(target)
        yield running, box, server


@pytest.mark.parametrize("field", [field for field in FIELDS if not field.startswith("messages")])
async def test_a_file_that_is_given_by_a_link_is_sent_as_one(bench: GatewayBench, field: str) -> None:
    async with everything(bench) as (running, box, server):
        await eventually(lambda: bench_knows(running), what="the operations")
        await post(running, field, server.url("/picture.png"))
        assert server.connections == 1
        (received,) = box.uploads
        assert received.digests[-1] == hashlib.sha256(PNG).hexdigest()
        assert received.parts[-1].mime_type == "image/png"


async def bench_knows(running: Gateway) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{running.http}/v1/metadata/m") as answer,
    ):
        return answer.status == 200 and len((await answer.json())["operations"]) == 3


@pytest.mark.security
@pytest.mark.parametrize("field", FIELDS)
async def test_no_field_leads_anywhere_inside(bench: GatewayBench, attacks: Attacks, field: str) -> None:
    async with shut_doors() as doors, everything(bench) as (running, box, server):
        await eventually(lambda: bench_knows(running), what="the operations")
        inside = [
            f"http://127.0.0.1:{doors.port}/", f"http://localhost:{doors.port}/", f"http://0x7f.1:{doors.port}/",
            f"http://2130706433:{doors.port}/", f"http://[::1]:{doors.port}/", f"http://[::ffff:127.0.0.1]:{doors.port}/",
            f"http://[64:ff9b::7f00:1]:{doors.port}/", "http://169.254.169.254/", "http://[fd00::1]/",
            f"http://user@127.0.0.1:{doors.port}/", f"http://good.tld@127.0.0.1:{doors.port}/", "file:///etc/passwd",
            "gopher://127.0.0.1/",
        ]  # fmt: skip
        for url in [*inside, *(server.url(f"/to?url={url}") for url in inside)]:
            attacks.count()
            status, told = await post(running, field, url)
            assert (status, told["error"]["param"]) == (400, field), url
            assert told["error"]["code"] in (FIELDS[field][1], "invalid_value")
        assert doors.opened == 0
        assert not box.seen
        assert not box.uploads


@pytest.mark.parametrize("field", FIELDS)
async def test_no_field_is_fetched_where_the_operator_has_said_so(bench: GatewayBench, field: str) -> None:
    async with everything(bench, fetch_urls=False) as (running, _, server):
        status, told = await post(running, field, server.url("/picture.png"))
        assert (status, told["error"]["code"]) == (400, FIELDS[field][1])
        assert server.connections == 0
