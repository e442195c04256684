"""A document through a whole gateway: its bytes, whichever way they came, and pages that are all there or an error."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio
from nexus.types.v1 import model_pb2
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.scripted_uploads import HEARD, digest
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

DATA = os.urandom(300_001)
URL = f"data:application/pdf;base64,{base64.b64encode(DATA).decode()}"
DOCUMENT = {"type": "document_url", "document_url": URL, "document_name": "a.pdf"}


@pytest_asyncio.fixture
async def box(bench: GatewayBench) -> ScriptedAdapter:
    found = await bench.adapter("box")
    bench.control.router.show(found.target(operations=(model_pb2.OPERATION_OCR,)))
    return found


@pytest_asyncio.fixture
async def served(bench: GatewayBench, box: ScriptedAdapter) -> AsyncIterator[Gateway]:
    async with gateway(bench, timeouts={"stall": 1.0, "first_token": 3.0}) as running:
        await eventually(lambda: _ready(running), what="the gateway being ready")
        yield running


async def _ready(running: Gateway) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"http://{running.http}/readyz") as answer:
        return answer.status == 200


async def posted(served: Gateway, **sent: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{served.http}/v1/ocr", **sent) as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


async def form(served: Gateway, **fields: str) -> tuple[int, Any]:
    body = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"model": "m", **fields}.items():
        body.add_field(name, value)
    body.add_field("file", io.BytesIO(DATA), filename="a.pdf", content_type="application/pdf")
    return await posted(served, data=body)


async def test_both_ways_bring_the_same(served: Gateway, box: ScriptedAdapter) -> None:
    status, by_form = await form(served, pages="0-1", languages="de", text_layer="ignore")
    assert status == 200, by_form
    asked = {
        "model": "m",
        "document": DOCUMENT,
        "pages": [1, 0],
        "languages": ["de"],
        "text_layer": "ignore",
        "id": "x",
    }
    status, by_object = await posted(served, json=asked)
    assert status == 200, by_object
    assert by_form == by_object
    assert by_form["usage_info"]["doc_size_bytes"] == len(DATA)
    for received in box.uploads:
        assert received.files == {"file": digest(DATA)}
        assert received.longest <= 64 * 1024
        assert received.body == {"model": "m", "pages": [0, 1], "languages": ["de"], "text_layer": "ignore"}
        [part] = received.parts
        assert (part.filename, part.mime_type) == ("a.pdf", "application/pdf")


async def test_a_document_in_a_body_is_sent_again_when_one_fails(bench: GatewayBench) -> None:
    first, second = [await bench.adapter(name) for name in ("one", "two")]
    first.upload_mode = "lose"
    targets = [
        each.target(operations=(model_pb2.OPERATION_OCR,), priority=at)
        for at, each in enumerate((first, second), 1)
    ]
    bench.control.router.show(*targets)
    async with gateway(bench) as running:
        await eventually(lambda: _ready(running), what="the gateway being ready")
        status, answer = await posted(running, json={"model": "m", "document": DOCUMENT})
    assert status == 200, answer
    assert second.uploads[0].files == {"file": digest(DATA)}


async def test_pages_that_were_left_out_are_an_error(served: Gateway, box: ScriptedAdapter) -> None:
    status, answer = await form(served, pages="0-2")
    assert (status, answer["error"]["code"]) == (502, "upstream_malformed"), answer
    box.pages = ()
    assert (await form(served))[0] == 502


async def test_another_form_than_was_asked_for_is_an_error(served: Gateway) -> None:
    assert await form(served, format="markdown") == (200, f"{HEARD}\n")
    assert (await form(served, format="text"))[0] == 502


async def test_a_cut_stream_ends_with_an_error(served: Gateway, box: ScriptedAdapter) -> None:
    status, text = await form(served, stream="true")
    assert (status, text.count('"ocr.page"'), text.rstrip().endswith("[DONE]")) == (200, 2, True)
    box.upload_mode = "cut"
    _, text = await form(served, stream="true")
    *_, last = [line for line in text.splitlines() if line]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stream_interrupted"
