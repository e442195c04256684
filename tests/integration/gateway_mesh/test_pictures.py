"""Pictures through a whole gateway: written while they come, several of them, with previews, and never half of one."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from nexus.types.v1 import model_pb2
from nexus_mesh.core import Reason
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench
from support.openai_images import validate_event
from support.scripted_adapter import PICTURE, ScriptedAdapter
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

IMAGE = model_pb2.OPERATION_IMAGE
URL = "/v1/images/generations"
BODY: dict[str, Any] = {"model": "m", "prompt": "a red circle"}


@pytest_asyncio.fixture
async def boxes(bench: GatewayBench) -> list[ScriptedAdapter]:
    """Two, the first of which is preferred."""
    made = [await bench.adapter("one"), await bench.adapter("two")]
    targets = [box.target("m", operations=[IMAGE], priority=50 + at) for at, box in enumerate(made)]
    bench.control.router.show(*targets)
    return made


@pytest_asyncio.fixture
async def served(bench: GatewayBench, boxes: list[ScriptedAdapter]) -> AsyncIterator[Gateway]:
    async with gateway(bench, auth="open") as running:

        async def is_ready() -> bool:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{running.http}/readyz") as told,
            ):
                return told.status == 200

        await eventually(is_ready, what="the gateway being ready")
        yield running


def ask(served: Gateway, session: aiohttp.ClientSession, **more: Any) -> Any:
    return session.post(f"http://{served.http}{URL}", json={**BODY, **more})


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "", validate=True)


async def test_the_official_client_gets_the_pictures_in_their_order(served: Gateway) -> None:
    async with served.client() as client:
        answer = await client.images.generate(model="m", prompt="a red circle", n=3)
    ImagesResponse.model_validate(answer.to_dict(), strict=True)
    assert [decoded(one.b64_json) for one in answer.data or ()] == [PICTURE + b"%d" % at for at in range(3)]
    assert [one.url for one in answer.data or ()] == [None] * 3
    assert (answer.size, answer.output_format, answer.background, answer.quality) == (
        "64x64",
        "png",
        "opaque",
        "high",
    )
    assert answer.usage is not None
    assert (
        answer.usage.input_tokens
        == answer.usage.total_tokens
        == answer.usage.input_tokens_details.text_tokens
        > 0
    )
    assert (answer.data or [])[0].to_dict()["seed"] == 7


async def test_an_answer_is_as_it_is_described(served: Gateway) -> None:
    async with aiohttp.ClientSession(f"http://{served.http}") as session:
        told = await (await session.get("/openapi.json")).json()
        answer = await session.post(URL, json=BODY)
        assert answer.content_type == "application/json"
        assert answer.headers["x-nexus-backend"] == "one"
        body = await answer.json()
    described = told["paths"][URL]["post"]["responses"]["200"]["content"]
    assert described.keys() == {"application/json", "text/event-stream"}
    schema = described["application/json"]["schema"]
    Draft202012Validator({**schema, "components": told["components"]}).validate(body)


async def test_pictures_that_come_beside_each_other_keep_their_places(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].mode = "mixed_pictures"
    async with served.client() as client:
        answer = await client.images.generate(model="m", prompt="a red circle", n=2)
    assert [decoded(one.b64_json) for one in answer.data or ()] == [PICTURE + b"0", PICTURE + b"1"]


@pytest.mark.parametrize("partials", [0, 1, 3])
async def test_the_official_client_sees_it_come(served: Gateway, partials: int) -> None:
    async with served.client() as client:
        stream = await client.images.generate(
            model="m", prompt="a red circle", stream=True, partial_images=partials, quality="high"
        )
        events = [event async for event in stream]
    *looks, last = events
    assert [type(event) for event in looks] == [ImageGenPartialImageEvent] * partials
    assert isinstance(last, ImageGenCompletedEvent)
    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
        validate_event(event.to_dict())
        assert (event.size, event.output_format, event.background, event.quality) == (
            "64x64",
            "png",
            "opaque",
            "high",
        )
    indices = [event.partial_image_index for event in looks if isinstance(event, ImageGenPartialImageEvent)]
    assert indices == list(range(partials))
    assert [decoded(event.b64_json) for event in looks] == [
        PICTURE + b"look%d" % at for at in range(partials)
    ]
    assert decoded(last.b64_json) == PICTURE + b"0"
    assert last.usage.total_tokens > 0


async def test_of_several_each_event_says_which_picture_it_is_of(served: Gateway) -> None:
    async with served.client() as client:
        stream = await client.images.generate(
            model="m", prompt="a red circle", n=3, stream=True, partial_images=1
        )
        events = [event async for event in stream]
    told = [event.to_dict() for event in events]
    for event in told:
        validate_event(event)
    kinds = ["image_generation.partial_image", "image_generation.completed"]
    assert [(each["type"], each["index"]) for each in told] == [
        (kind, at) for at in range(3) for kind in kinds
    ]
    assert [decoded(event.b64_json) for event in events[1::2]] == [PICTURE + b"%d" % at for at in range(3)]
    used = [event.usage.total_tokens for event in events if isinstance(event, ImageGenCompletedEvent)]
    assert used[:2] == [0, 0]
    assert used[2] > 0


async def test_events_are_named_and_progress_is_a_comment(served: Gateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        ask(served, session, stream=True, partial_images=1) as answer,
    ):
        assert answer.content_type == "text/event-stream"
        text = await answer.text()
    assert ": 1/4 steps\n\n" in text
    events = [event for event in text.split("\n\n") if event.startswith("event: ")]
    assert [event.split("\n")[0] for event in events] == [
        "event: image_generation.partial_image",
        "event: image_generation.completed",
    ]
    for event in events:
        name, data = event.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")


async def test_what_is_between_client_and_edge_does_not_travel(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    more = {
        "stream": False,
        "response_format": "b64_json",
        "moderation": "auto",
        "partial_images": 0,
        "n": None,
    }
    async with aiohttp.ClientSession() as session:
        await (await ask(served, session, **more)).read()
        await (await ask(served, session, stream=True, partial_images=2, seed=3)).read()
    assert [json.loads(seen.body) for seen in boxes[0].seen] == [
        {**BODY, "output_format": "png"},
        {**BODY, "output_format": "png", "partial_images": 2, "seed": 3},
    ]


async def test_what_servers_that_paint_take_travels(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    more = {
        "negative_prompt": "blur",
        "guidance_scale": 3.5,
        "sampler": "euler",
        "scheduler": "karras",
        "lora_name": "style",
        "lora_strength": -0.5,
    }
    async with aiohttp.ClientSession() as session:
        await (await ask(served, session, **more)).read()
    assert json.loads(boxes[0].seen[0].body) == {**BODY, **more, "output_format": "png"}


async def test_before_the_first_byte_another_backend_paints(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].mode, boxes[0].reason = "fail", Reason.BACKEND_LOST
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert answer.status == 200
        assert answer.headers["x-nexus-backend"] == "two"
        assert decoded((await answer.json())["data"][0]["b64_json"]) == PICTURE + b"0"


CUT = ("picture_then_fail", "picture_without_last", "picture_unfinished")


@pytest.mark.parametrize("mode", CUT)
@pytest.mark.parametrize("stream", [False, True])
async def test_half_a_picture_breaks_the_connection_and_nobody_begins_again(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str, stream: bool
) -> None:
    boxes[0].mode = mode
    async with aiohttp.ClientSession() as session, ask(served, session, stream=stream) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert not boxes[1].seen


@pytest.mark.parametrize("mode", CUT)
async def test_the_official_client_does_not_take_it_for_whole(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str
) -> None:
    import httpx2

    boxes[0].mode = mode
    async with served.client() as client:
        with pytest.raises(openai.APIConnectionError):
            await client.images.generate(model="m", prompt="a red circle")
        with pytest.raises((openai.APIError, httpx2.TransportError)):
            [_ async for _ in await client.images.generate(model="m", prompt="a red circle", stream=True)]


async def test_what_fails_between_two_events_is_an_event(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].mode = "look_then_fail"
    async with served.client() as client:
        stream = await client.images.generate(model="m", prompt="a red circle", stream=True, partial_images=1)
        assert (await anext(stream)).type == "image_generation.partial_image"
        with pytest.raises(openai.APIError) as caught:
            await anext(stream)
    assert caught.value.code == "upstream_error"


async def test_what_is_no_picture_is_no_answer(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].mode = boxes[1].mode = "other_sound"
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "upstream_malformed")


async def test_what_is_said_of_it_and_breaks_the_format_breaks_the_answer(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].mode = "odd_picture"
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": " "}, "prompt", "invalid_value"),
        ({"prompt": "x" * 32_001}, "prompt", "invalid_value"),
        ({"prompt": ["a"]}, "prompt", "invalid_type"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"size": "large"}, "size", "invalid_value"),
        ({"size": "0x64"}, "size", "invalid_value"),
        ({"quality": "best"}, "quality", "invalid_value"),
        ({"response_format": "url"}, "response_format", "unsupported_parameter"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"output_compression": 101}, "output_compression", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"background": "red"}, "background", "invalid_value"),
        ({"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({"moderation": "none"}, "moderation", "invalid_value"),
        ({"style": "odd"}, "style", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"partial_images": 4, "stream": True}, "partial_images", "invalid_value"),
        ({"partial_images": 1}, "partial_images", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"negative_prompt": 3}, "negative_prompt", "invalid_type"),
        ({"guidance_scale": -1}, "guidance_scale", "invalid_value"),
        ({"sampler": ["euler"]}, "sampler", "invalid_type"),
        ({"scheduler": ""}, "scheduler", "invalid_value"),
        ({"lora_name": {}}, "lora_name", "invalid_type"),
        ({"lora_strength": 101}, "lora_strength", "invalid_value"),
        ({"fallbacks": ["m"]}, "fallbacks", "unsupported_parameter"),
    ],
)
async def test_a_bad_request_is_told_by_its_parameter(
    served: Gateway, boxes: list[ScriptedAdapter], change: dict[str, Any], param: str, code: str
) -> None:
    async with aiohttp.ClientSession() as session, ask(served, session, **change) as answer:
        error = (await answer.json())["error"]
    assert (answer.status, error["param"], error["code"]) == (400, param, code)
    assert not boxes[0].seen


async def test_why_there_is_no_url_is_said(served: Gateway) -> None:
    async with aiohttp.ClientSession() as session, ask(served, session, response_format="url") as answer:
        assert "b64_json" in (await answer.json())["error"]["message"]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_it_is_counted_in_pictures(served: Gateway) -> None:
    before = counted("nexus_gateway_units_total", unit="output_images")
    async with aiohttp.ClientSession() as session:
        await (await ask(served, session, n=3)).read()
    await eventually(
        lambda: counted("nexus_gateway_units_total", unit="output_images") == before + 3, what="the count"
    )
