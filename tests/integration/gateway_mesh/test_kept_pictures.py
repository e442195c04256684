"""Pictures that are kept and linked to: a whole gateway before a real store, and what a link opens, and does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.files import FileStore, New
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.process.mesh import Mesh
from openai.types import ImagesResponse
from support.attacks import Attacks
from support.gateway_bench import GatewayBench
from support.kept_files import store
from support.scripted_adapter import PICTURE, ScriptedAdapter
from support.store_client import files
from support.waiting import eventually
from support.web_server import PNG
from support.whole_gateway import Gateway, gateway

BODY: dict[str, Any] = {"model": "m", "prompt": "a red circle", "response_format": "url"}


@asynccontextmanager
async def serving(bench: GatewayBench, **changes: Any) -> AsyncIterator[tuple[Gateway, ScriptedAdapter]]:
    box = await bench.adapter("one")
    bench.control.router.show(box.target("m", operations=[model_pb2.OPERATION_IMAGE]))
    async with gateway(bench, auth="open", **changes) as running:

        async def knows() -> bool:
            async with running.client() as client:
                return bool((await client.models.list()).data)

        await eventually(knows, what="the model")
        yield running, box


async def paint(running: Gateway, **more: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{running.http}/v1/images/generations", json={**BODY, **more}) as answer,
    ):
        return answer.status, await answer.json()


async def linked(running: Gateway) -> str:
    _, body = await paint(running)
    url: str = body["data"][0]["url"]
    return url


async def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_the_official_client_gets_links_that_open(bench: GatewayBench) -> None:
    async with store(bench), serving(bench) as (running, _), running.client() as client:
        answer = await client.images.generate(model="m", prompt="a red circle", n=3, response_format="url")
        ImagesResponse.model_validate(answer.to_dict(), strict=True)
        links = [one.url or "" for one in answer.data or ()]
        assert [one.b64_json for one in answer.data or ()] == [None] * 3
        assert all(link.startswith(f"http://{running.http}/v1/links/") for link in links)
        for at, link in enumerate(links):
            status, data, headers = await fetch(link)
            assert (status, data) == (200, PICTURE + b"%d" % at)
            assert headers["content-type"] == "image/png"
            assert headers["content-length"] == str(len(data))
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-disposition"].startswith("inline")


async def test_edits_are_linked_to_like_what_was_painted(bench: GatewayBench) -> None:
    box = await bench.adapter("two")
    async with store(bench), serving(bench) as (running, _):
        bench.control.router.show(box.target("e", operations=[model_pb2.OPERATION_IMAGE_EDIT]))

        async def knows() -> bool:
            async with running.client() as client:
                return [one.id for one in (await client.models.list()).data] == ["e"]

        await eventually(knows, what="the other model")
        async with running.client() as client:
            answer = await client.images.edit(
                model="e", image=("a.png", PNG), prompt="a blue house", response_format="url"
            )
        link = (answer.data or [])[0].url or ""
        assert (await fetch(link))[:2] == (200, PICTURE + b"0")


async def test_ranges_and_heads(bench: GatewayBench) -> None:
    async with store(bench), serving(bench) as (running, _):
        link = await linked(running)
        whole = (await fetch(link))[1]
        size, (_, nothing, headers) = len(whole), await fetch(link, "HEAD")
        assert nothing == b""
        assert headers["content-length"] == str(size)
        for asked, first, last in [
            ("0-3", 0, 3),
            ("4-", 4, size - 1),
            ("-5", size - 5, size - 1),
            ("2-999", 2, size - 1),
        ]:
            status, data, headers = await fetch(link, range=f"bytes={asked}")
            assert (status, data) == (206, whole[first : last + 1])
            assert headers["content-range"] == f"bytes {first}-{last}/{size}"
        for odd in ("bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=x"):
            assert (await fetch(link, range=odd))[:2] == (200, whole)
        tag = headers["etag"]
        assert (await fetch(link, **{"range": "bytes=0-3", "if-range": tag}))[0] == 206
        assert (await fetch(link, **{"range": "bytes=0-3", "if-range": '"another"'}))[0] == 200
        status, _, headers = await fetch(link, range=f"bytes={size}-")
        assert (status, headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.security
async def test_nothing_else_opens_it_and_nothing_is_told(bench: GatewayBench, attacks: Attacks) -> None:
    async with store(bench), serving(bench) as (running, _):
        link = await linked(running)
        head, _, token = link.rpartition("/")
        wrong = [
            token[:-3],
            token[1:],
            token.swapcase(),
            "a" * len(token),
            "x",
            token + "/more",
            "%00" + token,
        ]
        told = set[tuple[int, str]]()
        async with aiohttp.ClientSession() as session:
            for text in wrong:
                attacks.count()
                async with session.get(f"{head}/{text}") as answer:
                    body = await answer.json()
                    told.add((answer.status, body["error"]["code"]))
        assert told <= {(404, "not_found"), (404, "unknown_url")}
        assert (await fetch(head))[0] == 404, "no list"
        assert (await fetch(link, "DELETE"))[0] == 405


async def test_a_link_ends_and_its_file_goes(bench: GatewayBench) -> None:
    async with store(bench, sweep_interval=0.1), serving(bench, link_seconds=1) as (running, _):
        link = await linked(running)
        assert (await fetch(link))[0] == 200

        async def over() -> bool:
            return (await fetch(link))[0] == 404

        await eventually(over, what="the end of the link")


async def test_what_is_not_whole_leaves_nothing(bench: GatewayBench) -> None:
    async with store(bench), serving(bench) as (running, box):
        for mode in ("fail", "cut"):
            box.mode = mode
            status, body = await paint(running, n=2)
            assert status >= 500
            assert "data" not in body
        assert not files(bench.home / "store")
        box.mode = "ok"
        assert (await paint(running))[0] == 200


async def test_a_full_store_is_told(bench: GatewayBench) -> None:
    async with store(bench, quota_bytes=5), serving(bench) as (running, _):
        status, body = await paint(running)
        assert (status, body["error"]["code"]) == (429, "storage_quota_exceeded")


async def test_without_a_store_nothing_is_painted(bench: GatewayBench) -> None:
    async with serving(bench) as (running, box):
        status, body = await paint(running)
        assert (status, body["error"]["code"], body["error"]["param"]) == (
            400,
            "unsupported_parameter",
            "response_format",
        )
        assert "[store]" in body["error"]["message"]
        await bench.control.stop("registry")
        status, body = await paint(running)
        assert (status, body["error"]["code"]) == (503, "store_unavailable")
        assert not box.seen


async def test_what_must_stay_in_a_zone_is_kept_there_or_not_made(bench: GatewayBench) -> None:
    async with store(bench, zone="home"), serving(bench) as (running, box):
        async with aiohttp.ClientSession(headers={"x-nexus-zone": "default"}) as session:
            answer = await session.post(f"http://{running.http}/v1/images/generations", json=BODY)
            body = await answer.json()
        assert (answer.status, body["error"]["code"]) == (403, "privacy_zone")
        assert not box.seen


async def test_events_hold_their_pictures(bench: GatewayBench) -> None:
    async with store(bench), serving(bench) as (running, _):
        status, body = await paint(running, stream=True)
        assert (status, body["error"]["param"]) == (400, "response_format")


async def test_the_store_may_be_away_and_come_back_elsewhere(bench: GatewayBench) -> None:
    async with serving(bench) as (running, _):
        async with store(bench):
            link = await linked(running)
            asked = bench.control.registry.asked
            assert (await fetch(link))[0] == 200
            assert bench.control.registry.asked == asked, "it is looked for once"
        status, _ = await paint(running)
        assert status in (400, 503)
        async with store(bench):

            async def again() -> bool:
                return (await paint(running))[0] == 200

            await eventually(again, timeout=20, what="the store, found again")
            assert (await fetch(link))[0] == 200, "links outlive the store's process"


# The client, for what has no URL yet.


@asynccontextmanager
async def client(bench: GatewayBench) -> AsyncIterator[FileStore]:
    async with Mesh(bench.settings(), bench.ca.identity("gateway")) as mesh:
        yield FileStore(mesh, mesh.control("registry"), 60)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def broken() -> AsyncIterator[bytes]:
    yield bytes(100_000)
    raise MeshError(Reason.BACKEND_LOST, "It ended in the middle.")


async def endless(sent: list[int]) -> AsyncIterator[bytes]:
    while True:
        sent.append(65_536)
        yield bytes(65_536)
        await asyncio.sleep(0)


async def test_a_refused_file_keeps_its_reason_while_it_is_sent(bench: GatewayBench) -> None:
    sent: list[int] = []
    async with store(bench, max_object_bytes=3_000_000), client(bench) as kept:
        with pytest.raises(MeshError) as refused:
            await kept.put(New(tenant="t", purpose="video"), endless(sent))
        assert refused.value.reason is Reason.REQUEST_TOO_LARGE
        assert 3_000_000 < sum(sent) < 30_000_000, "it is not read on for ever"
        with pytest.raises(MeshError, match="in the middle"):
            await kept.put(New(tenant="t", purpose="video"), broken())
        assert not files(bench.home / "store")


async def test_a_file_that_is_put_again_under_its_key_is_one(bench: GatewayBench) -> None:
    async with store(bench), client(bench) as kept:
        new = New(tenant="t", purpose="video", key="job-1", mime_type="video/mp4")
        one = await kept.put(new, pieces(b"abc", b"def"))
        assert await kept.put(new, pieces(b"abcdef")) == one
        with pytest.raises(MeshError) as refused:
            await kept.put(new, pieces(b"other"))
        assert refused.value.reason is Reason.CONFLICT
        other = await kept.put(New(tenant="t2", purpose="video", key="job-1"), pieces(b"other"))
        assert other.id != one.id
        async with kept.get("t", one.id, 2, 3) as reading:
            assert b"".join([piece async for piece in reading.pieces]) == b"cde"
            assert reading.object == one
        await kept.delete("t", one.id)
        with pytest.raises(MeshError) as gone:
            await kept.describe("t", one.id)
        assert gone.value.reason is Reason.OBJECT_NOT_FOUND
        assert (await kept.put(new, pieces(b"other"))).size == 5, "its name went with it"


async def test_who_leaves_while_sending_leaves_nothing(bench: GatewayBench) -> None:
    sent: list[int] = []
    async with store(bench), client(bench) as kept:
        putting = asyncio.create_task(kept.put(New(tenant="t", purpose="video"), endless(sent)))
        await eventually(lambda: len(sent) > 20, what="a file on its way")
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        await eventually(lambda: not files(bench.home / "store"), what="nothing left of it")
