"""Chats with sound at a whole gateway: a chain of models where no single one does it, told on the answer's head."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from nexus.types.v1 import model_pb2
from nexus_mesh.core import Reason
from support.gateway_bench import GatewayBench
from support.scripted_adapter import SPOKEN, ScriptedAdapter
from support.scripted_uploads import HEARD, digest
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

OPERATIONS = {
    "ears": model_pb2.OPERATION_TRANSCRIPTION,
    "brain": model_pb2.OPERATION_CHAT,
    "voice": model_pb2.OPERATION_SPEECH,
}
VOICES = json.dumps({"properties": {"voice": {"enum": ["joe", "amy"]}}})
RECORDING = b"RIFFsomething"
SPOKEN_AS: Any = {"modalities": ["text", "audio"], "audio": {"voice": "joe", "format": "pcm16"}}
ASKED: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Listen:"},
            {
                "type": "input_audio",
                "input_audio": {"data": base64.b64encode(RECORDING).decode(), "format": "mp3"},
            },
        ],
    }
]
HELLO: list[Any] = [{"role": "user", "content": "hi"}]
Boxes = dict[str, ScriptedAdapter]


@pytest_asyncio.fixture
async def boxes(bench: GatewayBench) -> Boxes:
    made = {name: await bench.adapter(name) for name in OPERATIONS}
    show(bench, made)
    made["voice"].mode = "spoken"
    return made


def show(bench: GatewayBench, boxes: Boxes, *capabilities: model_pb2.Capability) -> None:
    targets = [
        box.target(name, operations=[OPERATIONS[name]], capabilities=capabilities if name == "brain" else ())
        for name, box in boxes.items()
    ]
    targets[2].models[0].parameters.add(operation=model_pb2.OPERATION_SPEECH, schema=VOICES)
    bench.control.router.show(*targets)


@pytest_asyncio.fixture
async def served(bench: GatewayBench, boxes: Boxes) -> AsyncIterator[Gateway]:
    async with gateway(bench, auth="open") as running:

        async def is_ready() -> bool:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{running.http}/readyz") as told,
            ):
                return told.status == 200

        await eventually(is_ready, what="the gateway being ready")
        yield running


@pytest_asyncio.fixture
async def client(served: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with served.client() as opened:
        yield opened


async def test_a_recording_is_heard_and_the_answer_spoken(client: openai.AsyncOpenAI, boxes: Boxes) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="brain", messages=ASKED, **SPOKEN_AS)
    assert raw.headers["x-nexus-chain"] == "ears > brain > voice"
    assert raw.headers["x-nexus-backend"] == "brain"
    message = raw.parse().choices[0].message
    assert message.content is None
    assert message.audio is not None
    assert base64.b64decode(message.audio.data) == SPOKEN
    assert message.audio.transcript == "one two three"
    asked = json.loads(boxes["brain"].seen[0].body)
    assert asked["messages"] == [{"role": "user", "content": f"Listen:\n{HEARD}"}]
    assert not asked.keys() & {"modalities", "audio"}
    assert boxes["ears"].uploads[0].files == {"file": digest(RECORDING)}
    assert boxes["ears"].uploads[0].parts[0].mime_type == "audio/mpeg"
    assert json.loads(boxes["voice"].seen[0].body)["voice"] == "joe"


async def test_a_recording_alone_is_answered_in_text(client: openai.AsyncOpenAI, boxes: Boxes) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="brain", messages=ASKED)
    assert raw.headers["x-nexus-chain"] == "ears > brain"
    assert raw.parse().choices[0].message.content == "one two three"
    assert boxes["voice"].seen == []


async def test_a_model_that_hears_itself_is_given_the_recording(
    client: openai.AsyncOpenAI, bench: GatewayBench, boxes: Boxes
) -> None:
    show(bench, boxes, model_pb2.CAPABILITY_AUDIO)

    async def is_native() -> bool:
        raw = await client.chat.completions.with_raw_response.create(model="brain", messages=ASKED)
        return "x-nexus-chain" not in raw.headers

    await eventually(is_native, what="the recording going there")
    part = json.loads(boxes["brain"].seen[-1].body)["messages"][0]["content"][1]
    assert base64.b64decode(part["input_audio"]["data"]) == RECORDING


async def test_a_stream_has_words_and_sound_sentence_by_sentence(
    client: openai.AsyncOpenAI, boxes: Boxes
) -> None:
    boxes["brain"].mode = "sentences"
    raw = await client.chat.completions.with_raw_response.create(
        model="brain", messages=HELLO, stream=True, **SPOKEN_AS
    )
    assert raw.headers["x-nexus-chain"] == "brain > voice"
    assert raw.headers["x-nexus-backend"] == "brain"
    deltas, finishes = list[Any](), list[Any]()
    async for chunk in raw.parse():
        deltas.append(chunk.choices[0].delta)
        finishes.append(chunk.choices[0].finish_reason)
    sounds: list[Any] = [delta.audio for delta in deltas if delta.audio is not None]
    assert sounds[0].id.startswith("audio_")
    assert [each.transcript for each in sounds if each.transcript] == [
        "One is here. ",
        "Two follows. ",
        "And the rest",
    ]
    assert b"".join(base64.b64decode(each.data) for each in sounds if each.data) == SPOKEN * 3
    assert sounds[-1].expires_at
    assert finishes[-1] == "stop"
    assert finishes.count(None) == len(finishes) - 1
    assert all(delta.content is None for delta in deltas)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"audio": None}, "audio"),
        ({"audio": {"voice": "joe", "format": "tape"}}, "audio"),
        ({"audio": {"voice": "nobody", "format": "wav"}}, "audio.voice"),
        ({"modalities": ["text"]}, "audio"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"n": 2}, "n"),
        ({"stream": True, "audio": {"voice": "joe", "format": "wav"}}, "audio.format"),
    ],
)
async def test_what_cannot_be_had_is_refused(
    client: openai.AsyncOpenAI, changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="brain", messages=HELLO, **{**SPOKEN_AS, **changes})
    assert refused.value.param == param


async def test_other_doors_still_refuse_it(served: Gateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{served.http}/v1/route/explain", json={"model": "brain", "messages": HELLO, **SPOKEN_AS}
        ) as told,
    ):
        assert told.status == 400


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lost_voice_is_no_whole_answer(
    client: openai.AsyncOpenAI, boxes: Boxes, stream: bool
) -> None:
    boxes["voice"].mode, boxes["voice"].reason = "spoken_then_fail", Reason.BACKEND_LOST

    async def ask() -> None:
        answer: Any = await client.chat.completions.create(
            model="brain", messages=HELLO, stream=stream, **SPOKEN_AS
        )
        async for _ in answer:
            pass

    with pytest.raises(openai.APIError) as failed:
        await ask()
    assert failed.value.code in ("backend_lost", "stream_interrupted")


async def test_a_client_that_leaves_frees_both(client: openai.AsyncOpenAI, boxes: Boxes) -> None:
    boxes["voice"].mode = "spoken_stall"
    boxes["brain"].mode = "sentences"
    answer = await client.chat.completions.create(model="brain", messages=HELLO, stream=True, **SPOKEN_AS)
    async for chunk in answer:
        audio = chunk.choices[0].delta.audio
        if audio is not None and audio.data:
            break
    await answer.close()
    await eventually(lambda: boxes["voice"].cancelled == 1, what="the voice being free")
    assert boxes["brain"].active == 0


async def test_no_ears_is_said(client: openai.AsyncOpenAI, bench: GatewayBench, boxes: Boxes) -> None:
    bench.control.router.show(boxes["brain"].target("brain"))

    async def is_refused() -> bool:
        with pytest.raises(openai.APIStatusError) as refused:
            raise await _failure(client)
        return refused.value.code == "capability_missing"

    await eventually(is_refused, what="the ears being gone")


async def _failure(client: openai.AsyncOpenAI) -> Exception:
    try:
        await client.chat.completions.create(model="brain", messages=ASKED)
    except openai.APIStatusError as error:
        return error
    return openai.APIStatusError("fine", response=None, body=None)  # type: ignore[arg-type]


@pytest.mark.security
async def test_the_whole_chain_stays_in_the_zone(
    client: openai.AsyncOpenAI, bench: GatewayBench, boxes: Boxes
) -> None:
    kept = {name: await bench.adapter(f"{name}-kept", zone="kept") for name in OPERATIONS}
    kept["voice"].mode = "spoken"
    bench.control.router.show(
        *(box.target(name, operations=[OPERATIONS[name]], priority=1) for name, box in boxes.items()),
        *(box.target(name, operations=[OPERATIONS[name]], priority=90) for name, box in kept.items()),
    )

    async def is_kept() -> bool:
        try:
            await client.chat.completions.create(
                model="brain", messages=ASKED, **SPOKEN_AS, extra_headers={"X-Nexus-Zone": "kept"}
            )
        except openai.APIStatusError:
            return False
        return True

    await eventually(is_kept, what="the zone being known")
    assert all(len(box.seen) == 1 for box in kept.values())
    assert all(box.seen == [] for box in boxes.values())
