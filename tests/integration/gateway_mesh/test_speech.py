"""An answer of bytes through a whole gateway: handed on as it comes, never held, never passed off as whole when cut."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.fleet import latencies
from nexus_mesh.core import Reason
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench
from support.scripted_adapter import SOUND, ScriptedAdapter
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

SPEECH = model_pb2.OPERATION_SPEECH
BODY: dict[str, Any] = {"model": "m", "input": "hi", "voice": "de"}
SCHEMA = {"properties": {"voice": {"oneOf": [{"const": "de", "title": "German", "languages": ["de"]}]}}}


@pytest_asyncio.fixture
async def boxes(bench: GatewayBench) -> list[ScriptedAdapter]:
    """Two, the first of which is preferred."""
    made = [await bench.adapter("one"), await bench.adapter("two")]
    targets = [box.target("m", operations=[SPEECH], priority=50 + at) for at, box in enumerate(made)]
    for target in targets:
        target.models[0].parameters.add(operation=SPEECH, schema=json.dumps(SCHEMA))
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
    return session.post(f"http://{served.http}/v1/audio/speech", json={**BODY, **more})


async def test_the_official_client_gets_the_bytes(served: Gateway) -> None:
    async with (
        served.client() as client,
        client.audio.speech.with_streaming_response.create(model="m", input="hi", voice="de") as answer,
    ):
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.headers["x-nexus-backend"] == "one"
        assert answer.headers["x-request-id"].startswith("req_")
        assert "content-length" not in answer.headers
        assert await answer.read() == SOUND


async def test_events_carry_the_same_bytes_and_end_with_what_was_used(served: Gateway) -> None:
    async with aiohttp.ClientSession() as session, ask(served, session, stream_format="sse") as answer:
        assert answer.content_type == "text/event-stream"
        events = [
            json.loads(line[6:]) for line in (await answer.text()).split("\n\n") if line.startswith("data: ")
        ]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * 2 + ["speech.audio.done"]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:2]) == SOUND
    assert events[2]["usage"] == {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}


async def test_what_is_between_client_and_edge_does_not_travel(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    async with aiohttp.ClientSession() as session:
        await (await ask(served, session, stream_format="sse", voice={"id": "de"}, stream=False)).read()
    assert json.loads(boxes[0].seen[0].body) == {**BODY, "response_format": "mp3"}


async def test_before_the_first_byte_another_backend_speaks(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].mode, boxes[0].reason = "fail", Reason.BACKEND_LOST
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert (answer.status, await answer.read()) == (200, SOUND)
        assert answer.headers["x-nexus-backend"] == "two"
        assert answer.headers["x-nexus-attempts"] == "2"


async def test_nobody_speaks_beside_another(
    served: Gateway, boxes: list[ScriptedAdapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of text the second one would be asked long before the first has begun."""
    for name in ("UNKNOWN", "LEAST", "COLD"):
        monkeypatch.setattr(latencies, name, 0.1)
    boxes[0].delay = 1.0
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert await answer.read() == SOUND
        assert answer.headers["x-nexus-backend"] == "one"
    assert not boxes[1].seen


@pytest.mark.parametrize(
    ("rates", "dollars"),
    [
        ({"input": 1000.0, "output": 1000.0}, 0.0),
        ({"characters": 500_000.0}, 1.0),
        ({"output_minutes": 40.0, "images": 7.0}, 1.0),
    ],
)
async def test_what_is_spoken_costs_by_its_own_units(
    bench: GatewayBench,
    served: Gateway,
    boxes: list[ScriptedAdapter],
    rates: dict[str, float],
    dollars: float,
) -> None:
    """Two characters and a second and a half of sound. What it costs is not known when its head goes out."""
    price = snapshot_pb2.Price(scope=snapshot_pb2.Scope(backends=["one"]))
    for rate, amount in rates.items():
        setattr(price, rate, amount)
    bench.control.router.show(boxes[0].target("m", operations=[SPEECH]), prices=[price])

    async def is_known() -> bool:
        url = f"http://{served.http}/v1/route/explain"
        async with aiohttp.ClientSession() as session, session.post(url, json=BODY) as told:
            return len((await told.json())["candidates"]) == 1

    await eventually(is_known, what="the new prices")
    ended = counted("nexus_gateway_requests_total", operation="speech", outcome="ok")
    before = counted("nexus_cost_dollars_total", model="m", backend="one")
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        await answer.read()
        assert "x-nexus-cost-estimated" not in answer.headers

    async def has_ended() -> bool:
        return counted("nexus_gateway_requests_total", operation="speech", outcome="ok") > ended

    await eventually(has_ended, what="the end of the request")
    assert counted("nexus_cost_dollars_total", model="m", backend="one") - before == pytest.approx(dollars)


async def test_a_catalogue_that_makes_no_sense_takes_nothing_from_the_others(
    bench: GatewayBench, served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    odd = ["nonsense", "[]", '{"properties": 1}', '{"properties": {"voice": {"oneOf": [{"title": "x"}, 7]}}}']
    target = boxes[0].target("m", operations=[SPEECH])
    for schema in (*odd, json.dumps({"properties": {"voice": {"enum": ["nova"]}}})):
        target.models[0].parameters.add(operation=SPEECH, schema=schema)
    bench.control.router.show(target)

    async def named() -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{served.http}/v1/audio/voices") as told,
        ):
            return [voice["id"] for voice in (await told.json())["voices"]] == ["nova"]

    await eventually(named, what="the voice that makes sense")


CUT = ("sound_then_fail", "sound_without_last", "sound_unfinished")


@pytest.mark.parametrize("mode", CUT)
async def test_after_it_a_failure_breaks_the_body_and_nobody_begins_again(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str
) -> None:
    boxes[0].mode = mode
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert not boxes[1].seen


@pytest.mark.parametrize("mode", CUT)
async def test_the_official_client_does_not_take_it_for_whole(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str
) -> None:
    boxes[0].mode = mode
    async with served.client() as client:
        with pytest.raises(openai.APIConnectionError):
            await client.audio.speech.create(model="m", input="hi", voice="de")


@pytest.mark.parametrize("mode", CUT)
async def test_events_end_with_an_error_then(
    served: Gateway, boxes: list[ScriptedAdapter], mode: str
) -> None:
    boxes[0].mode = mode
    async with aiohttp.ClientSession() as session, ask(served, session, stream_format="sse") as answer:
        events = [
            json.loads(line[6:]) for line in (await answer.text()).split("\n\n") if line.startswith("data: ")
        ]
    assert events[0]["type"] == "speech.audio.delta"
    assert events[-1]["error"]["code"] in ("upstream_error", "upstream_malformed")
    assert not any(event.get("type") == "speech.audio.done" for event in events)


async def test_sound_of_another_format_is_no_answer(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].mode = boxes[1].mode = "other_sound"
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "upstream_malformed")


async def test_a_client_that_leaves_frees_the_backend(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].mode = "sound_stall"
    async with aiohttp.ClientSession() as session, ask(served, session) as answer:
        assert await answer.content.readany()
        answer.close()
    await eventually(lambda: boxes[0].cancelled == 1, what="the backend being let go")


async def test_a_client_that_does_not_read_holds_the_backend_back(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    """Whatever the sockets between take, it comes to an end: nobody gathers the rest."""
    boxes[0].mode = "endless_sound"
    reader, writer = await asyncio.open_connection(*served.http.split(":"), limit=1024)
    body = json.dumps(BODY).encode()
    head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"200" in await reader.readline()
    before = -1

    async def stands_still() -> bool:
        nonlocal before
        before, now = boxes[0].sent, boxes[0].sent
        await asyncio.sleep(0.5)
        return boxes[0].sent == now

    await eventually(stands_still, timeout=30, what="the backend being held back")
    assert before * 32_768 < 64 << 20
    writer.close()
    await eventually(lambda: boxes[0].active == 0, what="the backend being let go")


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"input": None}, "input", "invalid_type"),
        ({"input": " "}, "input", "invalid_value"),
        ({"input": "x" * 65_537}, "input", "invalid_value"),
        ({"voice": None}, "voice", "invalid_type"),
        ({"voice": {}}, "voice.id", "missing_required_parameter"),
        ({"voice": ""}, "voice", "invalid_value"),
        ({"response_format": "ogg"}, "response_format", "invalid_value"),
        ({"speed": 4.5}, "speed", "invalid_value"),
        ({"stream_format": "raw"}, "stream_format", "invalid_value"),
        ({"stream": True}, "stream", "unsupported_parameter"),
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


async def test_voices_and_models_are_the_fleet_s(served: Gateway) -> None:
    async with aiohttp.ClientSession(f"http://{served.http}") as session:
        voices = await (await session.get("/v1/audio/voices")).json()
        models = await (await session.get("/v1/audio/models")).json()
    voice = {"id": "de", "name": "German", "languages": ["de"], "models": ["m"]}
    assert voices == {"object": "list", "voices": [voice]}
    assert models == {"object": "list", "models": [{"id": "m", "object": "model"}]}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_it_is_counted_in_its_own_units(served: Gateway) -> None:
    units = "nexus_gateway_units_total"
    before = [counted(units, unit=unit) for unit in ("input_characters", "output_seconds")]
    async with aiohttp.ClientSession() as session:
        await (await ask(served, session)).read()
    await eventually(lambda: counted(units, unit="output_seconds") > before[1], what="the count")
    assert counted(units, unit="input_characters") == before[0] + 2
    assert counted(units, unit="output_seconds") == before[1] + 1.5
