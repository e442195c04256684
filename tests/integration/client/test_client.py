"""The client library before a whole gateway: the same by a key and by an identity, as far as both can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_client import (
    AsyncClient,
    Client,
    Event,
    Finished,
    Options,
    Picture,
    Progress,
    Started,
    Text,
    Usage,
)
from nexus_mesh.core import MeshError, Reason
from support.scripted_adapter import PICTURE, SOUND
from support.scripted_uploads import digest
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

WORDS = "one two three"


@pytest.mark.parametrize(("way", "usage"), [("key", None), ("identity", Usage(2, 3))])
async def test_a_whole_answer(scene: Any, way: str, usage: Usage | None) -> None:
    """The body of this backend has no usage: where that is all there is, none is made up."""
    async with scene.by(way) as client:
        answer = await client.complete("m", "hi", Options(parameters={"temperature": 0.5}))
    assert answer.text == WORDS
    assert answer.body["object"] == "chat.completion"
    assert answer.usage == usage
    served = answer.served
    assert served is not None
    assert (served.backend, served.zone, served.attempts) == ("box", "default", 1)
    assert served.route_reason == "capability-match"
    sent = json.loads(scene.box.seen[-1].body)
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert sent["temperature"] == 0.5


async def test_a_stream_tells_who_answers_then_the_text_then_that_it_has_ended(client: AsyncClient) -> None:
    async with client.stream("m", [{"role": "user", "content": "hi"}]) as events:
        told = [event async for event in events]
    assert isinstance(told[0], Started)
    assert told[0].served.backend == "box"
    assert "".join(event.text for event in told if isinstance(event, Text)) == WORDS
    assert told[-1] == Finished({0: "stop"}, Usage(2, 3))
    assert sum(isinstance(event, Finished) for event in told) == 1


async def test_embeddings(client: AsyncClient) -> None:
    assert (await client.embed("m", "hi")).vectors == ((0.5,),)


async def test_a_count(client: AsyncClient, scene: Any) -> None:
    scene.box.counts = 77
    assert (await client.count("m", "hi")).tokens == 77


async def test_what_is_refused_has_its_reason_and_parameter(client: AsyncClient) -> None:
    with pytest.raises(MeshError) as caught:
        await client.complete("unknown", "hi")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(MeshError) as caught:
        await client.complete("m", "hi", Options(parameters={"temperature": "hot"}))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata["param"] == "temperature"
    with pytest.raises(MeshError) as caught:
        await client.complete("m", "hi", Options(zone="home"))
    assert caught.value.reason is Reason.PRIVACY_ZONE
    with pytest.raises(MeshError) as caught:
        await client.complete("m", [{"role": "user", "content": object()}])
    assert caught.value.reason is Reason.INVALID_REQUEST


async def _pour(
    client: AsyncClient, got: list[Event], then: Callable[[Event], None], options: Options
) -> None:
    async with client.stream("m", "hi", options) as events:
        async for event in events:
            got.append(event)
            then(event)


async def _until_it_breaks(
    client: AsyncClient, then: Callable[[Event], None] = lambda _: None, **options: Any
) -> tuple[list[Event], MeshError]:
    """What came before, and how it ended."""
    got: list[Event] = []
    with pytest.raises(MeshError) as caught:
        await _pour(client, got, then, Options(**options))
    return got, caught.value


@pytest.mark.parametrize("mode", ["content_then_fail", "unfinished"])
async def test_a_stream_that_breaks_raises_and_never_looks_finished(
    client: AsyncClient, scene: Any, mode: str
) -> None:
    scene.box.mode = mode
    got, _ = await _until_it_breaks(client)
    assert any(isinstance(event, Text) for event in got)
    assert not any(isinstance(event, Finished) for event in got)


async def test_a_stream_that_fails_before_it_begins_raises(client: AsyncClient, scene: Any) -> None:
    scene.box.mode, scene.box.reason = "fail", Reason.CONTEXT_LENGTH
    _, error = await _until_it_breaks(client)
    assert error.reason is Reason.CONTEXT_LENGTH


@pytest.mark.parametrize("way", ["key", "identity"])
async def test_a_connection_cut_in_the_middle_raises(scene: Any, way: str) -> None:
    scene.box.mode = "stall"
    async with TcpProxy(scene.http if way == "key" else scene.grpc) as proxy:
        client = (
            AsyncClient.by_key(f"http://{proxy.endpoint}")
            if way == "key"
            else AsyncClient.by_identity(proxy.endpoint, scene.identity)
        )
        async with client:
            got, error = await _until_it_breaks(
                client, lambda event: proxy.cut() if isinstance(event, Text) else None
            )
    assert error.reason in (Reason.BACKEND_LOST, Reason.BACKEND_DOWN)
    assert any(isinstance(event, Text) for event in got)
    assert not any(isinstance(event, Finished) for event in got)


async def test_leaving_a_stream_stops_the_backend(client: AsyncClient, scene: Any) -> None:
    scene.box.mode = "stall"
    async with client.stream("m", "hi") as events:
        async for event in events:
            if isinstance(event, Text):
                break
    await eventually(lambda: scene.box.cancelled == 1, timeout=10, what="the backend told to stop")


async def test_cancelling_who_waits_stops_the_backend(client: AsyncClient, scene: Any) -> None:
    scene.box.mode = "silent"
    asking = asyncio.create_task(client.complete("m", "hi"))
    await eventually(lambda: scene.box.active == 1, timeout=10, what="the request at the backend")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: scene.box.cancelled == 1, timeout=10, what="the backend told to stop")


async def test_the_time_allowed_ends_a_request_and_a_stream(client: AsyncClient, scene: Any) -> None:
    scene.box.mode = "silent"
    with pytest.raises(MeshError) as caught:
        await client.complete("m", "hi", Options(timeout=0.3))
    assert caught.value.reason is Reason.TIMEOUT
    scene.box.mode = "stall"
    _, error = await _until_it_breaks(client, timeout=0.5)
    assert error.reason is Reason.TIMEOUT


async def test_a_key_lists_models_and_explains(scene: Any) -> None:
    async with scene.by_key() as client:
        assert [model.id for model in await client.models()] == ["m"]
        told = await client.explain("m", "hi")
        nowhere = await client.explain("x", "hi")
    assert nowhere.resolved_model == ""
    assert [(each.rank, each.stage) for each in nowhere.candidates] == [(0, "model")]
    assert told.resolved_model == "m"
    assert [(each.rank, each.backend) for each in told.candidates] == [(1, "box")]
    assert told.count is not None
    assert told.count.tokens == scene.box.counts


async def test_a_key_has_a_text_spoken_and_hears_of_one_that_is_cut(scene: Any) -> None:
    async with scene.by_key() as client:
        async with client.speak("m", "hi", "de", Options(parameters={"speed": 2})) as pieces:
            assert b"".join([piece async for piece in pieces]) == SOUND
        sent = json.loads(scene.box.seen[-1].body)
        assert (sent["input"], sent["voice"], sent["speed"]) == ("hi", "de", 2)
        scene.box.mode = "sound_then_fail"
        with pytest.raises(MeshError) as caught:
            async with client.speak("m", "hi", "de") as pieces:
                [piece async for piece in pieces]
        assert caught.value.reason is Reason.BACKEND_LOST
        scene.box.mode, scene.box.reason = "fail", Reason.INVALID_REQUEST
        with pytest.raises(MeshError) as caught:
            async with client.speak("m", "hi", "de"):
                pass
        assert caught.value.reason is Reason.INVALID_REQUEST


async def test_a_key_has_a_picture_drawn_sees_it_come_and_hears_of_one_that_is_cut(scene: Any) -> None:
    async with scene.by_key() as client:
        looks = Options(parameters={"partial_images": 1, "seed": 7})
        async with client.draw("m", "a red circle", looks) as steps:
            assert [step async for step in steps] == [
                Progress("painting", 1, 4),
                Picture(PICTURE + b"look0", "64x64", 0, 7),
                Picture(PICTURE + b"0", "64x64", None, 7),
            ]
        assert json.loads(scene.box.seen[-1].body)["prompt"] == "a red circle"
        for mode in ("picture_then_fail", "picture_without_last", "look_then_fail"):
            scene.box.mode = mode
            with pytest.raises(MeshError) as caught:
                async with client.draw("m", "a red circle") as steps:
                    [step async for step in steps]
            assert caught.value.reason in (Reason.BACKEND_LOST, Reason.UPSTREAM_ERROR), mode


async def test_a_key_has_pictures_changed(scene: Any) -> None:
    async with scene.by_key() as client:
        several = Options(parameters={"n": 2})
        async with client.draw("m", "a red circle", several, pictures=[b"one", b"two"], mask=b"m") as steps:
            made = [step.data async for step in steps if isinstance(step, Picture)]
        with pytest.raises(MeshError, match="give pictures too"):
            client.draw("m", "a red circle", mask=b"m")
    assert made == [PICTURE + b"0", PICTURE + b"1"]
    (received,) = scene.box.uploads
    assert [part.name for part in received.parts] == ["image", "image", "mask"]
    assert received.digests == [digest(each) for each in (b"one", b"two", b"m")]
    assert received.body["prompt"] == "a red circle"


async def test_what_an_identity_cannot_do_is_told_with_what_can(scene: Any) -> None:
    async with scene.by_identity() as client:
        calls = [
            client.models(),
            client.explain("m", "hi"),
            client.load("m"),
            client.unload("m"),
            client.delete("m"),
        ]
        for call in calls:
            with pytest.raises(MeshError, match="Connect with an API key") as caught:
                await call
            assert caught.value.reason is Reason.MESH_POLICY
        with pytest.raises(MeshError, match="Connect with an API key"):
            async with client.pull("m"):
                pass
        with pytest.raises(MeshError, match="Connect with an API key"):
            async with client.speak("m", "hi", "de"):
                pass
        with pytest.raises(MeshError, match="Connect with an API key"):
            async with client.draw("m", "hi"):
                pass


async def test_a_key_speaks_for_its_own_tenant(scene: Any) -> None:
    async with scene.by_key() as client:
        with pytest.raises(MeshError) as caught:
            await client.complete("m", "hi", Options(on_behalf_of="acme"))
    assert caught.value.reason is Reason.INVALID_REQUEST


async def test_priority_and_tenant_travel(scene: Any) -> None:
    async with scene.by_identity() as client:
        await client.complete("m", "hi", Options(priority="low"))
        with pytest.raises(MeshError) as caught:
            await client.complete("m", "hi", Options(on_behalf_of="acme"))
    assert caught.value.reason is Reason.MESH_POLICY


async def test_a_client_that_is_not_open_says_so(client: AsyncClient, scene: Any) -> None:
    for closed in (scene.by_key(), scene.by_identity()):
        with pytest.raises(MeshError) as caught:
            await closed.complete("m", "hi")
        assert caught.value.reason is Reason.NOT_READY


async def test_where_no_gateway_is(tmp_path: Path, scene: Any) -> None:
    for lost in (
        AsyncClient.by_key("http://127.0.0.1:9"),
        AsyncClient.by_identity("127.0.0.1:9", scene.identity),
    ):
        async with lost:
            with pytest.raises(MeshError) as caught:
                await lost.complete("m", "hi")
            assert caught.value.reason is Reason.BACKEND_DOWN
    with pytest.raises(MeshError) as caught:
        async with AsyncClient.by_key("gopher://127.0.0.1") as wrong:
            await wrong.complete("m", "hi")
    assert caught.value.reason is Reason.INVALID_REQUEST
    with pytest.raises(MeshError, match="nexus token create --role client"):
        async with AsyncClient.by_identity(scene.grpc, tmp_path / "nothing"):
            pass


def _blocking(client: Client, scene: Any) -> None:
    with client:
        assert client.complete("m", "hi").text == WORDS
        assert client.embed("m", ["hi"]).vectors == ((0.5,),)
        assert client.count("m", "hi").tokens == 2
        with client.stream("m", "hi") as events:
            told = list(events)
        assert isinstance(told[-1], Finished)
        with pytest.raises(MeshError) as caught:
            client.complete("unknown", "hi")
        assert caught.value.reason is Reason.MODEL_NOT_FOUND
        scene.box.mode = "stall"
        with client.stream("m", "hi") as events:
            assert isinstance(next(event for event in events if isinstance(event, Text)), Text)
        scene.box.mode = "content_then_fail"
        with pytest.raises(MeshError), client.stream("m", "hi") as events:
            list(events)
    with pytest.raises(MeshError) as caught:
        client.complete("m", "hi")
    assert caught.value.reason is Reason.NOT_READY


@pytest.mark.parametrize("way", ["key", "identity"])
async def test_the_blocking_client_does_the_same(scene: Any, way: str) -> None:
    client = (
        Client.by_key(f"http://{scene.http}/v1")
        if way == "key"
        else Client.by_identity(scene.grpc, scene.identity)
    )
    await asyncio.to_thread(_blocking, client, scene)
    assert scene.box.cancelled >= 1


def test_every_priority_has_a_name_and_secrets_are_in_no_repr() -> None:
    from nexus_client.mesh import PRIORITIES

    assert set(PRIORITIES.values()) == set(inference_pb2.Priority.values())
    assert "nx_secret" not in repr(AsyncClient.by_key("http://127.0.0.1:1", "nx_secret"))
