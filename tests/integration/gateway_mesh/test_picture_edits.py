"""Pictures that are made of pictures, through a whole gateway: files in, files out, each once and whole."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from nexus.types.v1 import model_pb2
from nexus_gateway.intake import forms
from nexus_mesh.core.errors import Reason
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent, ImagesResponse
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench
from support.openai_images import validate_event, validate_images
from support.scripted_adapter import PICTURE, ScriptedAdapter
from support.scripted_uploads import digest
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

EDIT, VARIATION = model_pb2.OPERATION_IMAGE_EDIT, model_pb2.OPERATION_IMAGE_VARIATION
FILES = [os.urandom(200_001 + at) for at in range(3)]
MASK = os.urandom(70_000)
PROMPT = "a red circle"
Form = list[tuple[str, str | bytes]]
BODY: Form = [("model", "m"), ("prompt", PROMPT)]


@pytest_asyncio.fixture
async def boxes(bench: GatewayBench) -> list[ScriptedAdapter]:
    """Two, the first of which is preferred."""
    made = [await bench.adapter("one"), await bench.adapter("two")]
    targets = [box.target("m", operations=[EDIT, VARIATION], priority=at) for at, box in enumerate(made, 1)]
    bench.control.router.show(*targets)
    return made


@pytest_asyncio.fixture
async def served(bench: GatewayBench, boxes: list[ScriptedAdapter]) -> AsyncIterator[Gateway]:
    async with gateway(bench, auth="open", upload_size=4) as running:
        await eventually(lambda: _ready(running), what="the gateway being ready")
        yield running


async def _ready(running: Gateway) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"http://{running.http}/readyz") as answer:
        return answer.status == 200


def url(served: Gateway, name: str = "edits") -> str:
    return f"http://{served.http}/v1/images/{name}"


def form(fields: Form) -> aiohttp.FormData:
    made = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields:
        if isinstance(value, bytes):
            made.add_field(name, io.BytesIO(value), filename="in.png", content_type="image/png")
        else:
            made.add_field(name, value)
    return made


def data_url(data: bytes) -> dict[str, str]:
    return {"image_url": f"data:image/png;base64,{base64.b64encode(data).decode()}"}


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "", validate=True)


def named(data: bytes, name: str = "in.png") -> tuple[str, bytes, str]:
    return name, data, "image/png"


async def refused(answer: aiohttp.ClientResponse) -> tuple[int, str | None, str, str]:
    error = (await answer.json())["error"]
    return answer.status, error["param"], error["code"], error["message"]


async def test_the_official_client_edits_a_picture(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    async with served.client() as client:
        answer = await client.images.edit(
            model="m",
            image=named(FILES[0]),
            mask=named(MASK, "mask.png"),
            prompt=PROMPT,
            n=3,
            size="256x256",
            quality="high",
            background="opaque",
            output_format="webp",
            output_compression=50,
            input_fidelity="high",
            response_format="b64_json",
            extra_body={"seed": 7},
        )
    ImagesResponse.model_validate(answer.to_dict(), strict=True)
    validate_images(answer.to_dict())
    assert [decoded(one.b64_json) for one in answer.data or ()] == [PICTURE + b"%d" % at for at in range(3)]
    (received,) = boxes[0].uploads
    assert received.whole
    assert received.longest <= 64 * 1024
    assert received.start.stream is False
    assert [part.name for part in received.parts] == ["image", "mask"]
    assert received.digests == [digest(FILES[0]), digest(MASK)]
    assert received.body == {
        "model": "m",
        "prompt": PROMPT,
        "n": 3,
        "size": "256x256",
        "quality": "high",
        "background": "opaque",
        "output_format": "webp",
        "output_compression": 50,
        "seed": 7,
        "input_fidelity": "high",
    }
    assert boxes[1].uploads == []


async def test_the_official_client_edits_several_pictures(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    async with served.client() as client:
        answer = await client.images.edit(model="m", image=[named(each) for each in FILES], prompt=PROMPT)
    validate_images(answer.to_dict())
    (received,) = boxes[0].uploads
    assert [part.name for part in received.parts] == ["image"] * 3
    assert received.digests == [digest(each) for each in FILES]


@pytest.mark.parametrize("partials", [0, 2])
async def test_the_official_client_sees_an_edit_come(served: Gateway, partials: int) -> None:
    async with served.client() as client:
        stream = await client.images.edit(
            model="m", image=named(FILES[0]), prompt=PROMPT, stream=True, partial_images=partials
        )
        events = [event async for event in stream]
    *looks, last = events
    assert [type(event) for event in looks] == [ImageEditPartialImageEvent] * partials
    assert isinstance(last, ImageEditCompletedEvent)
    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
        validate_event(event.to_dict())
    assert [decoded(event.b64_json) for event in events] == [
        *(PICTURE + b"look%d" % at for at in range(partials)),
        PICTURE + b"0",
    ]


async def test_the_official_client_gets_variations(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    async with served.client() as client:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            answer = await client.images.create_variation(
                model="m", image=named(FILES[0]), n=2, size="256x256", response_format="b64_json", user="me"
            )
    ImagesResponse.model_validate(answer.to_dict(), strict=True)
    validate_images(answer.to_dict())
    assert [decoded(one.b64_json) for one in answer.data or ()] == [PICTURE + b"0", PICTURE + b"1"]
    (received,) = boxes[0].uploads
    assert received.start.envelope.operation == VARIATION
    assert received.digests == [digest(FILES[0])]
    assert received.body == {"model": "m", "n": 2, "size": "256x256", "output_format": "png", "user": "me"}


async def test_a_json_body_means_the_same(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    body = {
        "model": "m",
        "prompt": PROMPT,
        "images": [data_url(each) for each in FILES],
        "mask": data_url(MASK),
        "n": 2,
        "quality": None,
        "stream": True,
    }
    async with aiohttp.ClientSession() as session, session.post(url(served), json=body) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert (await answer.text()).count("event: image_edit.completed") == 2
    (received,) = boxes[0].uploads
    assert received.whole
    assert received.longest <= 64 * 1024
    assert [part.name for part in received.parts] == ["image"] * 3 + ["mask"]
    assert received.digests == [digest(each) for each in (*FILES, MASK)]
    assert received.body == {"model": "m", "prompt": PROMPT, "n": 2, "output_format": "png"}


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_was_kept_is_sent_once_more_to_another(
    served: Gateway, boxes: list[ScriptedAdapter], as_json: bool
) -> None:
    boxes[0].upload_mode, boxes[0].reason, boxes[0].stop_after = "lose", Reason.BACKEND_LOST, 100_000
    body = {"model": "m", "prompt": PROMPT, "images": [data_url(FILES[0])]}
    sent: dict[str, Any] = {"json": body} if as_json else {"data": form([*BODY, ("image", FILES[0])])}
    async with aiohttp.ClientSession() as session, session.post(url(served), **sent) as answer:
        assert answer.status == 200
        assert answer.headers["x-nexus-backend"] == "two"
        validate_images(await answer.json())
    assert boxes[1].uploads[0].digests == [digest(FILES[0])]


CUT = ("picture_then_fail", "picture_without_last", "picture_unfinished")


@pytest.mark.parametrize("mode", CUT)
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_half_a_picture_breaks_the_connection(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str, stream: str
) -> None:
    boxes[0].mode = mode
    sent = form([*BODY, ("stream", stream), ("image", FILES[0])])
    async with aiohttp.ClientSession() as session, session.post(url(served), data=sent) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert not boxes[1].uploads


async def test_whoever_leaves_frees_the_backend(
    served: Gateway, boxes: list[ScriptedAdapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SMALL", 0)
    boxes[0].upload_mode, boxes[0].stop_after = "stop", 1
    async with aiohttp.ClientSession() as session:
        sent = form([*BODY, ("image", FILES[0])])
        asking = asyncio.create_task(session.post(url(served), data=sent))
        await eventually(lambda: bool(boxes[0].uploads), what="the upload")
        asking.cancel()
    await eventually(lambda: boxes[0].uploads[0].cancelled, what="its end")


IMAGE = ("image", FILES[0])


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        (BODY, "image", "missing_required_parameter"),
        ([*BODY, ("mask", MASK)], "image", "missing_required_parameter"),
        ([*BODY, *[("image[]", b"x")] * 17], "image", "invalid_multipart"),
        ([*BODY, IMAGE, ("mask", MASK), ("mask", MASK)], "mask", "invalid_multipart"),
        ([*BODY, IMAGE, ("face", MASK)], "face", "unknown_parameter"),
        ([*BODY, ("image", b"")], "image", "invalid_file"),
        ([("model", "m"), IMAGE], "prompt", "missing_required_parameter"),
        ([("prompt", PROMPT), IMAGE], "model", "missing_required_parameter"),
        ([*BODY, ("n", "two"), IMAGE], "n", "invalid_type"),
        ([*BODY, ("n", "11"), IMAGE], "n", "invalid_value"),
        ([*BODY, ("size", "large"), IMAGE], "size", "invalid_value"),
        ([*BODY, ("output_format", "gif"), IMAGE], "output_format", "invalid_value"),
        ([*BODY, ("partial_images", "1"), IMAGE], "partial_images", "invalid_value"),
        ([*BODY, ("strength", "2"), IMAGE], "strength", "invalid_value"),
        ([*BODY, ("strength", "0.5"), ("input_fidelity", "low"), IMAGE], "strength", "invalid_value"),
        ([*BODY, ("image", "https://example.org/a.png")], "image", "invalid_file"),
        ([*BODY, IMAGE, ("image", "text")], "image", "invalid_file"),
    ],
)
async def test_a_bad_form_is_told_by_its_part(
    served: Gateway, boxes: list[ScriptedAdapter], fields: Form, param: str, code: str
) -> None:
    async with aiohttp.ClientSession() as session, session.post(url(served), data=form(fields)) as answer:
        assert (await refused(answer))[:3] == (400, param, code)
    assert not boxes[0].uploads


GIVEN = {"model": "m", "prompt": PROMPT, "images": [data_url(b"x")]}


@pytest.mark.security
@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"images": None}, "images", "missing_required_parameter"),
        ({"images": []}, "images", "invalid_value"),
        ({"images": [data_url(b"x")] * 17}, "images", "invalid_value"),
        ({"images": data_url(b"x")}, "images", "invalid_type"),
        ({"images": ["data:image/png;base64,eA=="]}, "images[0]", "invalid_type"),
        ({"images": [{}]}, "images[0].image_url", "missing_required_parameter"),
        ({"images": [{"file_id": "file-1"}]}, "images[0].file_id", "unsupported_parameter"),
        ({"images": [data_url(b"")]}, "images[0].image_url", "invalid_image"),
        *(
            ({"images": [data_url(b"x"), {"image_url": each}]}, "images[1].image_url", "invalid_image_url")
            for each in (
                "https://example.org/a.png",
                "http://169.254.169.254/",
                "file:///etc/passwd",
                "gopher://127.0.0.1/",
                "//127.0.0.1/a.png",
                "",
            )
        ),
        ({"images": [{"image_url": "data:image/png,x"}]}, "images[0].image_url", "invalid_image"),
        ({"images": [{"image_url": "data:image/png;base64,$$$$"}]}, "images[0].image_url", "invalid_image"),
        ({"mask": {"image_url": "data:;base64,AAAAA"}}, "mask.image_url", "invalid_image"),
        ({"mask": [data_url(b"x")]}, "mask", "invalid_type"),
        ({"prompt": " "}, "prompt", "invalid_value"),
    ],
)
async def test_a_bad_json_body_is_told_by_its_path(
    served: Gateway, boxes: list[ScriptedAdapter], change: dict[str, Any], param: str, code: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url(served), json={**GIVEN, **change}) as answer,
    ):
        assert (await refused(answer))[:3] == (400, param, code)
    assert not boxes[0].uploads


async def test_a_variation_takes_a_form_with_one_picture_and_does_not_stream(served: Gateway) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(url(served, "variations"), json=GIVEN) as answer:
            assert answer.status == 415
        several: Form = [("model", "m"), IMAGE, IMAGE]
        async with session.post(url(served, "variations"), data=form(several)) as answer:
            assert (await refused(answer))[:3] == (400, "image", "invalid_multipart")
        streamed: Form = [("model", "m"), ("stream", "true"), IMAGE]
        async with session.post(url(served, "variations"), data=form(streamed)) as answer:
            assert (await refused(answer))[:3] == (400, "stream", "unsupported_parameter")
        whole: Form = [("model", "m"), ("stream", "false"), IMAGE]
        async with session.post(url(served, "variations"), data=form(whole)) as answer:
            assert answer.status == 200


async def test_more_bytes_than_are_taken_are_told(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    async with served.client() as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.images.edit(model="m", image=named(bytes(5 * 1024 * 1024)), prompt=PROMPT)
    assert caught.value.status_code == 413


async def test_both_bodies_are_described(served: Gateway) -> None:
    async with aiohttp.ClientSession(f"http://{served.http}") as session:
        told = await (await session.get("/openapi.json")).json()
    content = told["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    schemas = {
        kind: Draft202012Validator({**each["schema"], "components": told["components"]})
        for kind, each in content.items()
    }
    assert schemas.keys() == {"multipart/form-data", "application/json"}
    assert schemas["application/json"].is_valid({**GIVEN, "mask": data_url(b"x"), "n": None})
    assert not schemas["application/json"].is_valid({"model": "m", "prompt": PROMPT})
    assert not schemas["application/json"].is_valid({**GIVEN, "images": [{"image_url": "ftp://a"}]})
    assert schemas["multipart/form-data"].is_valid({"model": "m", "prompt": PROMPT, "image": ["..."]})
    assert not schemas["multipart/form-data"].is_valid({"model": "m", "image": ["..."]})


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_it_is_counted_in_pictures(served: Gateway) -> None:
    before = counted("nexus_gateway_units_total", unit="output_images")
    async with served.client() as client:
        await client.images.edit(model="m", image=named(FILES[0]), prompt=PROMPT, n=3)
    await eventually(
        lambda: counted("nexus_gateway_units_total", unit="output_images") == before + 3, what="the count"
    )
