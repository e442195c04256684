"""Realtime sessions at a whole gateway: who may open one, what ends a response, a call or the session, and where the
calls go."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import psutil
import pytest
import pytest_asyncio
from aiohttp import ClientWebSocketResponse as Socket
from aiohttp import WSServerHandshakeError
from nexus.inference.v1 import realtime_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_gateway.dialects.realtime import sessions
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Method
from nexus_mesh.rpc.client import Peer
from support.gateway_bench import GatewayBench
from support.scripted_adapter import SPOKEN, ScriptedAdapter
from support.scripted_uploads import HEARD
from support.speaking import spoken
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

FREE, KEPT = "nx_free", "nx_kept"
OPERATIONS = {
    "ears": model_pb2.OPERATION_TRANSCRIPTION,
    "brain": model_pb2.OPERATION_CHAT,
    "voice": model_pb2.OPERATION_SPEECH,
}
TEXT = {"type": "realtime", "output_modalities": ["text"]}
VOICES = json.dumps({"properties": {"voice": {"enum": ["joe", "amy"], "default": "amy"}}})


@dataclass
class Trio:
    """The models of a chain."""

    ears: ScriptedAdapter
    brain: ScriptedAdapter
    voice: ScriptedAdapter


@pytest_asyncio.fixture
async def trio(bench: GatewayBench) -> Trio:
    boxes = {name: await bench.adapter(name, zone="kept") for name in OPERATIONS}
    targets = [
        box.target(name, operations=[OPERATIONS[name]], capabilities=[model_pb2.CAPABILITY_TOOLS])
        for name, box in boxes.items()
    ]
    targets[2].models[0].parameters.add(operation=model_pb2.OPERATION_SPEECH, schema=VOICES)
    vault = bench.control.vault
    vault.tenants["default"] = tenants_pb2.Tenant(id="default", name="default", weight=1)
    vault.keys[FREE] = keys_pb2.Key(id="k1", name="free", tenant="default")
    vault.keys[KEPT] = keys_pb2.Key(id="k2", name="kept", tenant="default", zone="kept")
    bench.control.router.show(*targets)
    boxes["voice"].mode = "spoken"
    return Trio(**boxes)


@pytest_asyncio.fixture
async def served(bench: GatewayBench, trio: Trio) -> AsyncIterator[Gateway]:
    async with gateway(bench, auth="keys") as running:

        async def is_ready() -> bool:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{running.http}/readyz") as told,
            ):
                return told.status == 200

        await eventually(is_ready, what="the gateway being ready")
        yield running


@asynccontextmanager
async def connected(
    served: Gateway, key: str | None = FREE, query: str = "?model=brain", **options: Any
) -> AsyncIterator[Socket]:
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{served.http}/v1/realtime{query}", headers=headers, **options) as socket,
    ):
        yield socket


async def told(socket: Socket, kind: str = "") -> list[dict[str, Any]]:
    """Events up to the first of a kind; of none, the next one."""
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not got or (kind and got[-1]["type"] != kind):
            got.append(await socket.receive_json())
    return got


async def say(socket: Socket, kind: str, **fields: Any) -> None:
    await socket.send_json({"type": kind, **fields})


async def ask(socket: Socket, text: str = "hi", **response: Any) -> None:
    part = {"type": "input_text", "text": text}
    await say(
        socket,
        "conversation.item.create",
        item={"type": "message", "role": "user", "content": [part]},
    )
    await say(socket, "response.create", **({"response": response} if response else {}))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


# Who gets in


@pytest.mark.security
@pytest.mark.parametrize(
    ("key", "query", "headers", "status"),
    [
        (None, "?model=brain", {}, 401),
        ("nx_wrong", "?model=brain", {}, 401),
        (FREE, "", {}, 400),
        (FREE, "?model=", {}, 400),
        (FREE, "?model=brain&model=ears", {}, 400),
        (FREE, "?model=nobody", {}, 404),
        (FREE, "?model=voice", {}, 400),
        (FREE, "?model=brain", {"X-Nexus-Zon": "kept"}, 400),
        (FREE, "?model=brain&intent=transcription", {}, 400),
    ],
)
async def test_who_may_not_is_refused_before_the_upgrade(
    served: Gateway, key: str | None, query: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        async with connected(served, key, query, headers=headers):
            pass
    assert refused.value.status == status
    assert refused.value.headers is not None
    assert refused.value.headers["content-type"] == "application/json"


@pytest.mark.security
async def test_a_key_may_come_among_the_subprotocols_and_never_goes_back(served: Gateway) -> None:
    offered = ["realtime", f"openai-insecure-api-key.{FREE}", "openai-beta.realtime-v1"]
    async with connected(served, None, protocols=offered) as socket:
        assert socket.protocol == "realtime"
        assert kinds(await told(socket)) == ["session.created"]
    with pytest.raises(WSServerHandshakeError) as refused:
        async with connected(served, None, protocols=["realtime", "openai-insecure-api-key.nx_wrong"]):
            pass
    assert refused.value.status == 401


@pytest.mark.security
async def test_pages_of_strangers_are_refused_where_no_key_is_wanted(bench: GatewayBench, trio: Trio) -> None:
    async with gateway(bench, auth="open") as running:
        await eventually(lambda: _opens(running, {}), what="a session")
        assert not await _opens(running, {"Origin": "https://evil.example"})
        assert not await _opens(running, {"Host": "evil.example"})
        assert await _opens(running, {"Origin": "http://localhost:3000"})


async def _opens(running: Gateway, headers: dict[str, str]) -> bool:
    try:
        async with connected(running, None, headers=headers) as socket:
            return kinds(await told(socket)) == ["session.created"]
    except WSServerHandshakeError:
        return False


async def test_plain_http_is_told_what_to_do_and_other_urls_stay_plain(served: Gateway) -> None:
    headers = {"Authorization": f"Bearer {FREE}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"http://{served.http}/v1/realtime?model=brain") as answer:
            assert answer.status == 426
            assert (await answer.json())["error"]["code"] == "upgrade_required"
        async with session.post(f"http://{served.http}/v1/realtime?model=brain") as answer:
            assert answer.status == 405
        with pytest.raises(WSServerHandshakeError) as refused:
            async with session.ws_connect(f"http://{served.http}/v1/models"):
                pass
        assert refused.value.status == 400


async def test_a_key_has_so_many_sessions_and_no_more(
    served: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_EACH", 1)
    async with connected(served) as socket:
        await told(socket)
        with pytest.raises(WSServerHandshakeError) as refused:
            async with connected(served):
                pass
        assert refused.value.status == 429
        async with connected(served, KEPT) as another:
            await told(another)
    await eventually(lambda: _opens_again(served), what="the first one's place being free")


async def _opens_again(served: Gateway) -> bool:
    try:
        async with connected(served) as socket:
            return kinds(await told(socket)) == ["session.created"]
    except WSServerHandshakeError:
        return False


# What is wrong is told, and the session stays


@pytest.mark.security
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"hi"',
        '{"type": "session.explode", "event_id": "e1"}',
        '{"type": "response.create", "event_id": "e1", "response": {"colour": "red"}}',
        '{"type": "input_audio_buffer.append", "event_id": "e1", "audio": "!!!"}',
        '{"type": "input_audio_buffer.append", "event_id": "e1", "audio": "AAAA"}',
        '{"type": "input_audio_buffer.commit", "event_id": "e1"}',
        '{"type": "response.cancel", "event_id": "e1"}',
        '{"type": "conversation.item.delete", "event_id": "e1", "item_id": "none"}',
        '{"type": "session.update", "event_id": "e1", "session": {"type": "transcription"}}',
        "[" * 5_000,
    ],
)
async def test_a_bad_event_is_told_and_no_more(served: Gateway, text: str) -> None:
    async with connected(served) as socket:
        await told(socket)
        await socket.send_str(text)
        error = (await told(socket))[0]
        assert error["type"] == "error"
        assert error["error"]["message"]
        assert error["error"]["event_id"] == ("e1" if "e1" in text else None)
        await say(socket, "session.update", session=TEXT)
        await ask(socket)
        assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


@pytest.mark.security
async def test_too_large_a_message_ends_the_session(served: Gateway) -> None:
    async with connected(served) as socket:
        await told(socket)
        await socket.send_str(json.dumps({"type": "x", "pad": "x" * (5 << 20)}))
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert socket.close_code == 1009


async def test_bytes_end_the_session(served: Gateway) -> None:
    async with connected(served) as socket:
        await told(socket)
        await socket.send_bytes(b"sound")
        await socket.receive()
        assert socket.close_code == 1003


@pytest.mark.security
async def test_what_is_sent_has_room_like_any_body(bench: GatewayBench, trio: Trio) -> None:
    """Of 32 MiB for all, one tenant has a fifth at most."""
    async with gateway(bench, auth="open", body_memory=32, body_share=0.2) as running:
        await eventually(lambda: _opens(running, {}), what="a session")
        async with connected(running, None) as socket:
            off = {"audio": {"input": {"turn_detection": None}}}
            await say(socket, "session.update", session=off)
            piece = base64.b64encode(bytes(2 << 20)).decode()
            for _ in range(3):
                await say(socket, "input_audio_buffer.append", audio=piece)
            error = (await told(socket, "error"))[-1]["error"]
            assert error["code"] in ("rate_limit_exceeded", "overloaded")
            await say(socket, "input_audio_buffer.clear")
            await told(socket, "input_audio_buffer.cleared")


# Responses


async def test_a_spoken_answer_comes_sentence_by_sentence(served: Gateway, trio: Trio) -> None:
    trio.brain.mode = "sentences"
    async with connected(served) as socket:
        session = (await told(socket))[0]["session"]
        assert session["audio"]["output"]["voice"] == "amy"
        assert session["nexus"]["chain"] == {"transcription": "ears", "chat": "brain", "speech": "voice"}
        await ask(socket)
        events = await told(socket, "response.done")
    assert [json.loads(each.body)["input"] for each in trio.voice.seen] == [
        "One is here.",
        "Two follows.",
        "And the rest",
    ]
    sound = [base64.b64decode(each["delta"]) for each in events if each["type"].endswith("audio.delta")]
    assert b"".join(sound) == SPOKEN * 3
    assert all(len(piece) % 2 == 0 for piece in sound)
    words = [each["delta"] for each in events if each["type"].endswith("transcript.delta")]
    assert words == ["One is here. ", "Two follows. ", "And the rest"]
    done = events[-1]["response"]
    assert done["output"][0]["content"][0]["transcript"] == "".join(words)
    assert done["usage"]["output_tokens"] == 8
    assert [link["model"] for link in done["nexus"]["chain"]] == ["brain", "voice"]


async def test_what_was_said_is_heard_before_it_is_answered(served: Gateway, trio: Trio) -> None:
    async with connected(served) as socket:
        await say(socket, "session.update", session={**TEXT, "audio": {"input": {"turn_detection": None}}})
        await say(socket, "input_audio_buffer.append", audio=base64.b64encode(bytes(48_000)).decode())
        await say(socket, "input_audio_buffer.commit")
        await say(socket, "response.create")
        events = await told(socket, "response.done")
    heard = next(each for each in events if each["type"].endswith("transcription.completed"))
    assert heard["transcript"] == HEARD
    assert json.loads(trio.brain.seen[0].body)["messages"] == [{"role": "user", "content": HEARD}]
    assert trio.ears.uploads[0].parts[0].mime_type == "audio/wav"


async def test_a_function_is_called_and_its_result_goes_back(served: Gateway, trio: Trio) -> None:
    trio.brain.mode = "calls"
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    async with connected(served) as socket:
        await say(socket, "session.update", session={**TEXT, "tools": [tool]})
        await ask(socket)
        events = await told(socket, "response.done")
        call = events[-1]["response"]["output"][0]
        assert (call["type"], call["name"], call["arguments"]) == ("function_call", "look", '{"at": 1}')
        done = next(each for each in events if each["type"] == "response.function_call_arguments.done")
        assert (done["name"], done["call_id"], done["arguments"]) == ("look", "call_1", '{"at": 1}')
        trio.brain.mode = "ok"
        result = {"type": "function_call_output", "call_id": "call_1", "output": "a cat"}
        await say(socket, "conversation.item.create", item=result)
        await say(socket, "response.create")
        await told(socket, "response.done")
    assert [each["role"] for each in json.loads(trio.brain.seen[1].body)["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


@pytest.mark.parametrize("who", ["brain", "voice"])
async def test_a_cancelled_response_frees_its_backends_at_once(served: Gateway, trio: Trio, who: str) -> None:
    box: ScriptedAdapter = getattr(trio, who)
    box.mode = {"brain": "stall", "voice": "spoken_stall"}[who]
    async with connected(served) as socket:
        if who == "brain":
            await say(socket, "session.update", session=TEXT)
        await ask(socket)
        first = "response.output_text.delta" if who == "brain" else "response.output_audio.delta"
        await told(socket, first)
        assert box.active == 1
        await say(socket, "response.cancel")
        done = (await told(socket, "response.done"))[-1]["response"]
        assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
        assert done["output"][0]["status"] == "incomplete"
        await eventually(lambda: box.active == 0 and box.cancelled == 1, what="the backend being free")
        box.mode = {"brain": "ok", "voice": "spoken"}[who]
        await ask(socket, "again")
        assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


async def test_who_speaks_in_the_middle_of_an_answer_frees_its_backends(served: Gateway, trio: Trio) -> None:
    """Found by the real detector, in a real voice's sound."""
    trio.voice.mode = "spoken_stall"
    async with connected(served) as socket:
        await ask(socket)
        await told(socket, "response.output_audio.delta")
        with wave.open(io.BytesIO(spoken("Stop it, please. I have heard enough of that."))) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            at = np.arange(0, len(samples) / file.getframerate(), 1 / 24_000)
            voice = (
                np.interp(at, np.arange(len(samples)) / file.getframerate(), samples).astype("<i2").tobytes()
            )
        for start in range(0, len(voice), 48_000):
            piece = base64.b64encode(voice[start : start + 48_000]).decode()
            await say(socket, "input_audio_buffer.append", audio=piece)
        events = await told(socket, "response.done")
        assert "input_audio_buffer.speech_started" in kinds(events)
        assert events[-1]["response"]["status_details"]["reason"] == "turn_detected"
        await eventually(lambda: trio.voice.cancelled == 1, what="the backend being free")
        assert detectors()
    await eventually(lambda: not detectors(), what="the detector leaving with the last session")


def detectors() -> list[psutil.Process]:
    return [
        one
        for one in psutil.Process().children()
        if one.status() != psutil.STATUS_ZOMBIE and any("detecting" in word for word in one.cmdline())
    ]


async def test_a_client_that_is_gone_frees_its_backends(served: Gateway, trio: Trio) -> None:
    trio.brain.mode = "stall"
    async with connected(served) as socket:
        await say(socket, "session.update", session=TEXT)
        await ask(socket)
        await told(socket, "response.output_text.delta")
        transport = socket._writer.transport  # pyright: ignore[reportPrivateUsage] - to leave without a word
        assert transport is not None
        transport.abort()
        await eventually(lambda: trio.brain.cancelled == 1, what="the backend being free")


@pytest.mark.parametrize(
    ("who", "mode"),
    [("brain", "content_then_fail"), ("brain", "fail"), ("voice", "spoken_then_fail"), ("voice", "sound")],
)
async def test_a_lost_backend_fails_the_response_and_not_the_session(
    served: Gateway, trio: Trio, who: str, mode: str
) -> None:
    box: ScriptedAdapter = getattr(trio, who)
    usual, box.mode, box.reason = box.mode, mode, Reason.BACKEND_LOST
    async with connected(served) as socket:
        await ask(socket)
        events = await told(socket, "response.done")
        failed = next(each for each in events if each["type"] == "error")["error"]
        done = events[-1]["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == failed["code"]
        assert all(item["status"] == "incomplete" for item in done["output"])
        box.mode = usual
        await ask(socket, "again")
        assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


async def test_ears_that_fail_are_told_and_the_session_stays(served: Gateway, trio: Trio) -> None:
    trio.ears.upload_mode, trio.ears.reason = "refuse", Reason.UPSTREAM_ERROR
    async with connected(served) as socket:
        await say(socket, "session.update", session={**TEXT, "audio": {"input": {"turn_detection": None}}})
        await say(socket, "input_audio_buffer.append", audio=base64.b64encode(bytes(48_000)).decode())
        await say(socket, "input_audio_buffer.commit")
        await say(socket, "response.create")
        events = await told(socket, "response.done")
        assert "conversation.item.input_audio_transcription.failed" in kinds(events)
        assert events[-1]["response"]["status"] == "failed"
        await ask(socket)
        assert (await told(socket, "response.done"))[-1]["response"]["status"] == "completed"


async def test_a_revoked_key_gets_no_more_answers(served: Gateway, bench: GatewayBench) -> None:
    await eventually(lambda: bench.control.vault.watchers == 1, what="the key watch")
    async with connected(served) as socket:
        await say(socket, "session.update", session=TEXT)
        await told(socket, "session.updated")
        bench.control.vault.revoke("k1")

        async def is_refused() -> bool:
            await ask(socket)
            done = (await told(socket, "response.done"))[-1]["response"]
            return (done["status_details"] or {}).get("error", {}).get("code") == "invalid_api_key"

        await eventually(is_refused, what="the key being refused")


async def test_a_gateway_that_leaves_says_so(bench: GatewayBench, trio: Trio) -> None:
    async with gateway(bench, auth="open", drain_settle=0) as running:
        await eventually(lambda: _opens(running, {}), what="a session")
        async with connected(running, None) as socket:
            await told(socket)
            running.mesh.draining.set()
            await socket.receive()
            assert socket.close_code == 1012


# Where the calls go


@pytest.mark.security
@pytest.mark.parametrize("demand", ["key", "header"])
async def test_every_call_stays_in_the_zone(
    served: Gateway, bench: GatewayBench, trio: Trio, demand: str
) -> None:
    outside = {name: await bench.adapter(f"{name}-outside", zone="open") for name in OPERATIONS}
    kept = [box.target(name, operations=[OPERATIONS[name]], priority=90) for name, box in vars(trio).items()]
    near = [box.target(name, operations=[OPERATIONS[name]], priority=1) for name, box in outside.items()]
    bench.control.router.show(*near, *kept)
    outside["voice"].mode = "spoken"
    await eventually(lambda: _goes_outside(served, outside), what="the nearer ones being asked")
    asked = {name: len(box.seen) for name, box in outside.items()}
    options: dict[str, Any] = {"key": KEPT} if demand == "key" else {"headers": {"X-Nexus-Zone": "kept"}}
    async with connected(served, **options) as socket:
        done = await _speak_and_listen(socket)
    assert done["status"] == "completed"
    assert {link["zone"] for link in done["nexus"]["chain"]} == {"kept"}
    assert len(done["nexus"]["chain"]) == 3
    assert {name: len(box.seen) for name, box in outside.items()} == asked


async def _goes_outside(served: Gateway, outside: dict[str, ScriptedAdapter]) -> bool:
    async with connected(served) as socket:
        await _speak_and_listen(socket)
    return all(box.seen for box in outside.values())


async def _speak_and_listen(socket: Socket) -> dict[str, Any]:
    await say(socket, "session.update", session={"audio": {"input": {"turn_detection": None}}})
    await say(socket, "input_audio_buffer.append", audio=base64.b64encode(bytes(48_000)).decode())
    await say(socket, "input_audio_buffer.commit")
    await say(socket, "response.create")
    return (await told(socket, "response.done"))[-1]["response"]


@pytest.mark.security
async def test_who_is_kept_inside_is_offered_nothing_outside(
    served: Gateway, bench: GatewayBench, trio: Trio
) -> None:
    voice = await bench.adapter("voice-outside", zone="open")
    kept = [
        box.target(name, operations=[OPERATIONS[name]]) for name, box in vars(trio).items() if name != "voice"
    ]
    bench.control.router.show(voice.target("voice", operations=[OPERATIONS["voice"]]), *kept)

    async def offered(key: str) -> Any:
        async with connected(served, key) as socket:
            return (await told(socket))[0]["session"]["nexus"]["chain"]["speech"]

    await eventually(lambda: _is_none(offered(KEPT)), what="the zone being told")
    assert await offered(FREE) == "voice"
    async with connected(served, KEPT) as socket:
        await told(socket)
        await say(socket, "session.update", session={"output_modalities": ["audio"]})
        assert (await told(socket))[0]["error"]["code"] == "capability_missing"
    assert voice.seen == []


# By gRPC


Step = realtime_pb2.ConnectRequest
CONNECT = Method("nexus.inference.v1.RealtimeService", "Connect", Step, realtime_pb2.ConnectResponse)


@asynccontextmanager
async def called(
    served: Gateway, bench: GatewayBench, role: str = "operator", **start: Any
) -> AsyncIterator[tuple[Any, AsyncIterator[dict[str, Any]]]]:
    """A call whose first message is sent, and its events."""
    peer = Peer(served.grpc_address, bench.ca.spiffe("gateway").server_name, bench.ca.identity(role))

    async def events(call: Any) -> AsyncIterator[dict[str, Any]]:
        async for message in call:
            yield json.loads(message.event)

    try:
        async with peer.duplex(CONNECT, timeout=20) as call:
            await call.send(Step(start=realtime_pb2.ConnectStart(**{"model": "brain", **start})))
            yield call, events(call)
    finally:
        await peer.close()


async def _until(events: AsyncIterator[dict[str, Any]], kind: str) -> AsyncIterator[dict[str, Any]]:
    async for event in events:
        yield event
        if event["type"] == kind:
            return


async def test_members_of_the_mesh_converse_by_grpc(served: Gateway, bench: GatewayBench, trio: Trio) -> None:
    async with called(served, bench, zone="kept") as (call, events):
        assert (await anext(events))["session"]["nexus"]["chain"]["speech"] == "voice"
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        for event in (
            {"type": "session.update", "session": TEXT},
            {"type": "conversation.item.create", "item": item},
            {"type": "response.create"},
        ):
            await call.send(Step(event=json.dumps(event)))
        got = [event async for event in _until(events, "response.done")]
        assert got[-1]["response"]["status"] == "completed"
        trio.brain.mode = "stall"
        await call.send(Step(event='{"type": "response.create"}'))
        await eventually(lambda: trio.brain.active == 1, what="the backend at work")
    await eventually(lambda: trio.brain.active == 0, what="the backend being free")


@pytest.mark.security
@pytest.mark.parametrize(
    ("role", "start", "reason"),
    [
        ("operator", {"model": "nobody"}, Reason.MODEL_NOT_FOUND),
        ("operator", {"model": "voice"}, Reason.CAPABILITY_MISSING),
        ("operator", {"on_behalf_of": "nobody"}, Reason.OBJECT_NOT_FOUND),
        ("client", {}, Reason.MESH_POLICY),
        ("adapter", {}, Reason.MESH_POLICY),
    ],
)
async def test_who_may_not_is_refused_by_grpc_too(
    served: Gateway, bench: GatewayBench, role: str, start: dict[str, str], reason: Reason
) -> None:
    with pytest.raises(MeshError) as refused:
        async with called(served, bench, role, **start) as (_, events):
            await anext(events)
    assert refused.value.reason is reason


async def _is_none(value: Any) -> bool:
    return await value is None
