"""Videos through a whole gateway and a real store: by the official client, by parts, of two tenants, in their zones."""

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
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_mesh.core import Reason
from openai.types import Video, VideoDeleteResponse
from support.gateway_bench import GatewayBench
from support.scripted_adapter import FILM, PICTURE, ScriptedAdapter
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway, store_beside

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API is scheduled")
VIDEO = model_pb2.OPERATION_VIDEO
MINE, OTHER, WARD = "nx_mine", "nx_other", "nx_ward"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"enum": ["1280x720", "720x1280"], "default": "1280x720"},
        "seconds": {"enum": ["4", "8"]},
        "input_reference": {},
        "remix_video_id": {},
    },
}


class Running:
    """The gateway, the adapter behind it, and who asks."""

    def __init__(self, served: Gateway, box: ScriptedAdapter, bench: GatewayBench) -> None:
        self.served = served
        self.box = box
        self.bench = bench

    def client(self, key: str = MINE) -> openai.AsyncOpenAI:
        return self.served.client(key)

    def session(self, key: str = MINE) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(f"http://{self.served.http}", headers={"Authorization": f"Bearer {key}"})


def shown(box: ScriptedAdapter, **more: Any) -> snapshot_pb2.Target:
    target = box.target("m", operations=[VIDEO], **more)
    told = model_pb2.OperationParameters(operation=VIDEO, schema=json.dumps(SCHEMA))
    target.models[0].parameters.append(told)
    return target


@pytest_asyncio.fixture
async def running(bench: GatewayBench) -> AsyncIterator[Running]:
    box = await bench.adapter("box")
    bench.control.router.show(shown(box))
    vault = bench.control.vault
    vault.show_tenants(
        tenants_pb2.Tenant(id="t1", name="mine", weight=1),
        tenants_pb2.Tenant(id="t2", name="other", weight=1),
    )
    vault.keys[MINE] = keys_pb2.Key(id="k1", name="mine", tenant="mine")
    vault.keys[OTHER] = keys_pb2.Key(id="k2", name="other", tenant="other")
    vault.keys[WARD] = keys_pb2.Key(id="k3", name="ward", tenant="mine", zone="ward")
    async with gateway(bench, auth="keys") as served, store_beside(bench, served):
        made = Running(served, box, bench)
        await eventually(lambda: _is_ready(made), what="the gateway being ready")
        yield made


async def _is_ready(running: Running) -> bool:
    async with running.session() as session, session.get("/v1/models") as answer:
        return answer.status == 200 and bool((await answer.json())["data"])


async def test_the_official_client_has_one_made_and_fetches_it(running: Running) -> None:
    async with running.client() as client:
        video = await client.videos.create(model="m", prompt="a lake at dawn", seconds="4", size="1280x720")
        Video.model_validate(video.to_dict(), strict=True)
        assert video.id.startswith("video_")
        assert (video.status, video.prompt, video.seconds, video.size) == (
            "queued", "a lake at dawn", "4", "1280x720",
        )  # fmt: skip
        done = await client.videos.poll(video.id, poll_interval_ms=50)
        Video.model_validate(done.to_dict(), strict=True)
        assert (done.status, done.progress, done.error) == ("completed", 100, None)
        assert done.completed_at is not None
        assert (done.expires_at or 0) > done.completed_at >= done.created_at
        assert (await client.videos.download_content(video.id)).content == FILM
        still = await client.videos.download_content(video.id, variant="thumbnail")
        assert (still.content, still.response.headers["content-type"]) == (PICTURE, "image/webp")
        with pytest.raises(openai.NotFoundError) as none:
            await client.videos.download_content(video.id, variant="spritesheet")
        assert "spritesheet" in none.value.message
        gone = await client.videos.delete(video.id)
        VideoDeleteResponse.model_validate(gone.to_dict(), strict=True)
        assert (gone.id, gone.deleted) == (video.id, True)
        with pytest.raises(openai.NotFoundError):
            await client.videos.retrieve(video.id)
    [asked] = running.box.seen
    assert json.loads(asked.body) == {
        "model": "m", "prompt": "a lake at dawn", "seconds": "4", "size": "1280x720",
    }  # fmt: skip


async def test_create_and_poll_and_the_list(running: Running) -> None:
    async with running.client() as client:
        made = [await client.videos.create(model="m", prompt=f"number {at}") for at in range(3)]
        last = await client.videos.create_and_poll(model="m", prompt="the last", poll_interval_ms=50)
        assert last.status == "completed"
        ids = [video.id for video in (*made, last)]
        page = await client.videos.list(limit=2)
        assert ([video.id for video in page.data], page.has_more) == (ids[:1:-1], True)
        assert [video.id async for video in client.videos.list(limit=2)] == ids[::-1]
        assert [video.id async for video in client.videos.list(limit=3, order="asc")] == ids
        rest = await client.videos.list(after=ids[0])
        assert (rest.data, rest.has_more) == ([], False)


async def test_answers_are_as_they_are_described(running: Running) -> None:
    async with running.session() as session:
        told = await (await session.get("/openapi.json")).json()

        def check(path: str, method: str, body: Any) -> None:
            content = told["paths"][path][method]["responses"]["200"]["content"]
            schema = {**content["application/json"]["schema"], "components": told["components"]}
            Draft202012Validator(schema).validate(body)

        answer = await session.post("/v1/videos", json={"model": "m", "prompt": "a lake"})
        video = await answer.json()
        check("/v1/videos", "post", video)
        check("/v1/videos", "get", await (await session.get("/v1/videos")).json())
        check("/v1/videos/{video_id}", "get", await (await session.get(f"/v1/videos/{video['id']}")).json())
        gone = await session.delete(f"/v1/videos/{video['id']}")
        check("/v1/videos/{video_id}", "delete", await gone.json())


async def status(asking: Any) -> int:
    """Of an answer that is read to its end."""
    async with asking as answer:
        await answer.read()
        return answer.status


async def _completed(session: aiohttp.ClientSession, **more: Any) -> str:
    """The id of a video that is there."""
    answer = await session.post("/v1/videos", json={"model": "m", "prompt": "a lake", **more})
    video_id = (await answer.json())["id"]

    async def is_there() -> bool:
        return (await (await session.get(f"/v1/videos/{video_id}")).json())["status"] == "completed"

    await eventually(is_there, what="the video")
    return video_id


async def test_events_tell_of_each_change_and_how_it_ended(running: Running) -> None:
    async with running.session() as session:
        answer = await session.post("/v1/videos", json={"model": "m", "prompt": "a lake"})
        video_id = (await answer.json())["id"]
        async with session.get(f"/v1/videos/{video_id}", params={"stream": "true"}) as events:
            assert events.content_type == "text/event-stream"
            text = await events.text()
    *told, done = [event for event in text.split("\n\n") if event and not event.startswith(":")]
    assert done == "data: [DONE]"
    for event in told:
        name, data = event.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")
    last = json.loads(told[-1].split("\n")[1].removeprefix("data: "))
    assert (last["type"], last["video"]["status"]) == ("video.completed", "completed")


RANGES = {
    "bytes=0-9": (206, FILM[:10]), "bytes=100-": (206, FILM[100:]), "bytes=-10": (206, FILM[-10:]),
    f"bytes=5-{len(FILM) * 2}": (206, FILM[5:]), "bytes=0-0": (206, FILM[:1]), "pages=1-2": (200, FILM),
    "bytes=-": (200, FILM), "bytes=0-1,5-6": (200, FILM), f"bytes={len(FILM)}-": (416, b""), "bytes=9-3": (416, b""),
}  # fmt: skip


LAST = len(FILM) - 1
FIRST_LAST = {
    "bytes=0-9": (0, 9), "bytes=100-": (100, LAST), "bytes=-10": (LAST - 9, LAST),
    f"bytes=5-{len(FILM) * 2}": (5, LAST), "bytes=0-0": (0, 0),
}  # fmt: skip


async def test_a_range_of_it(running: Running) -> None:
    async with running.session() as session:
        video_id = await _completed(session)
        for asked, (code, data) in RANGES.items():
            async with session.get(f"/v1/videos/{video_id}/content", headers={"Range": asked}) as answer:
                assert answer.status == code, asked
                if code == 416:
                    assert answer.headers["content-range"] == f"bytes */{len(FILM)}"
                    await answer.read()
                    continue
                assert await answer.read() == data, asked
                assert answer.headers["content-length"] == str(len(data))
                assert answer.headers["accept-ranges"] == "bytes"
                if code == 206:
                    begin, end = FIRST_LAST[asked]
                    assert answer.headers["content-range"] == f"bytes {begin}-{end}/{len(FILM)}"


async def test_a_picture_it_begins_with_by_form_and_in_the_body(running: Running) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    async with running.client() as client, running.session() as session:
        made = await client.videos.create_and_poll(
            model="m", prompt="a lake", input_reference=("lake.png", PNG, "image/png"), poll_interval_ms=50
        )
        assert made.status == "completed", made.error
        await _completed(session, input_reference={"image_url": url})
    assert [json.loads(asked.body)["input_reference"] for asked in running.box.seen] == [
        {"image_url": url}
    ] * 2


NO_PICTURE = "data:image/png;base64,AAAA"
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({"prompt": None}, "prompt", "must be a string"),
    "blank": ({"prompt": " "}, "prompt", "say what"),
    "unknown model": ({"model": "x"}, "model", "x"),
    "seconds": ({"seconds": "soon"}, "seconds", "whole number"),
    "other seconds": ({"seconds": "5"}, "seconds", "4, 8"),
    "size": ({"size": "large"}, "size", "width"),
    "other size": ({"size": "64x64"}, "size", "1280x720"),
    "link": ({"input_reference": {"image_url": "http://127.0.0.1/x.png"}}, "input_reference.image_url", "data:"),
    "file id": ({"input_reference": {"file_id": "file-1"}}, "input_reference.file_id", "by id"),
    "no picture": ({"input_reference": {"image_url": NO_PICTURE}}, "input_reference.image_url", "PNG"),
    "remix": ({"remix_video_id": "film-1"}, "remix_video_id", "remix"),
    "unknown": ({"colour": "red"}, "colour", "does not know"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_can_never_be_made_is_refused_at_once(running: Running, what: str) -> None:
    more, param, why = REFUSED[what]
    body = {"model": "m", "prompt": "a lake", **more}
    async with running.session() as session, session.post("/v1/videos", json=body) as answer:
        error = (await answer.json())["error"]
        assert answer.status in (400, 404), error
        assert (error["param"], why in error["message"]) == (param, True), error
        assert (await (await session.get("/v1/videos")).json())["data"] == []
    assert running.box.seen == []


async def test_a_failure_is_told_and_nothing_can_be_fetched(running: Running) -> None:
    running.box.mode = "film_then_fail"
    async with running.client() as client:
        video = await client.videos.create_and_poll(model="m", prompt="a lake", poll_interval_ms=50)
        assert (video.status, video.error and video.error.code) == ("failed", "upstream_error")
        assert video.completed_at is None
        with pytest.raises(openai.NotFoundError) as none:
            await client.videos.download_content(video.id)
        assert "failed" in none.value.message


async def test_deleted_while_it_is_made_it_frees_the_backend(running: Running) -> None:
    running.box.mode = "silent"
    async with running.client() as client:
        video = await client.videos.create(model="m", prompt="a lake")
        await eventually(lambda: running.box.active, what="the backend at work")
        with pytest.raises(openai.NotFoundError) as early:
            await client.videos.download_content(video.id)
        assert "in_progress" in early.value.message
        await client.videos.delete(video.id)
    await eventually(lambda: not running.box.active, what="the backend being free")
    assert running.box.cancelled == 1


async def test_what_another_tenant_has_is_not_there(running: Running) -> None:
    async with running.session() as session, running.session(OTHER) as other:
        video_id = await _completed(session)
        paths = [f"/v1/videos/{video_id}{rest}" for rest in ("", "?stream=true", "/content")]
        askings = [other.get(path) for path in paths]
        askings += [
            other.delete(paths[0]),
            other.post(f"{paths[0]}/remix", json={"prompt": "x"}),
            other.get("/v1/videos", params={"after": video_id}),
        ]
        assert [await status(asking) for asking in askings] == [404] * len(askings)
        assert (await (await other.get("/v1/videos")).json())["data"] == []
        for nonsense in ("video_1", "x", "..%2f..", "video_" + "0" * 32):
            assert await status(session.get(f"/v1/videos/{nonsense}")) == 404
        assert await status(session.get(f"/v1/videos/{video_id}")) == 200


async def test_a_remix_is_asked_of_the_engine_by_its_own_id(running: Running) -> None:
    async with running.client() as client, running.session() as session:
        first = await _completed(session)
        again = await client.videos.remix(first, prompt="at dusk")
        Video.model_validate(again.to_dict(), strict=True)
        assert (again.remixed_from_video_id, again.prompt) == (first, "at dusk")
        assert (await client.videos.poll(again.id, poll_interval_ms=50)).status == "completed"
        body = json.loads(running.box.seen[-1].body)
        assert (body["remix_video_id"], body["prompt"], body["size"]) == ("film-1", "at dusk", "1280x720")
        for given in ({}, {"prompt": ""}, {"prompt": "x", "size": "1x1"}, {"prompt": 1}):
            assert await status(session.post(f"/v1/videos/{first}/remix", json=given)) == 400


async def test_without_a_store_it_says_what_is_missing(running: Running) -> None:
    running.bench.control.registry.members.pop("store")
    async with running.session() as session:

        async def refused() -> bool:
            return await status(session.get("/v1/videos")) == 503

        await eventually(refused, what="the store being missed")
        answer = await session.post("/v1/videos", json={"model": "m", "prompt": "a lake"})
        assert answer.status == 503
        assert "[store]" in (await answer.json())["error"]["message"]
        assert answer.headers["x-should-retry"] == "false"


async def test_a_zone_that_is_demanded_holds_the_store_and_the_backend(running: Running) -> None:
    """Neither is in the ward: nothing is kept, and nobody asked."""
    async with running.session(WARD) as ward, running.session() as session:
        body, header = {"model": "m", "prompt": "a lake"}, {"X-Nexus-Zone": "ward"}
        assert await status(ward.post("/v1/videos", json=body)) == 403
        assert await status(session.post("/v1/videos", json=body, headers=header)) == 403
        inside = await running.bench.adapter("inside", zone="ward")
        running.bench.control.router.show(shown(inside))

        async def kept_out() -> bool:
            answer = await ward.post("/v1/videos", json=body)
            return answer.status == 403 and "store" in (await answer.json())["error"]["message"]

        await eventually(kept_out, what="the store's refusal")
        assert (await (await session.get("/v1/videos")).json())["data"] == []
    assert inside.seen == running.box.seen == []


async def test_a_backend_that_is_lost_is_asked_again(running: Running) -> None:
    running.box.mode, running.box.reason = "film_then_fail", Reason.BACKEND_LOST
    async with running.client() as client:
        video = await client.videos.create(model="m", prompt="a lake")
        await eventually(lambda: running.box.seen and not running.box.active, what="the first attempt")
        running.box.mode = "ok"
        done = await client.videos.poll(video.id, poll_interval_ms=50)
        assert done.status == "completed"
        assert (await client.videos.download_content(video.id)).content == FILM
    assert len(running.box.seen) == 2
