"""A request with a file through a whole gateway: every byte once and in order, or an error and never an answer."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from nexus.types.v1 import model_pb2
from nexus_gateway.intake import forms
from nexus_mesh.core.errors import Reason
from openai.types.audio import Transcription, TranscriptionVerbose
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.scripted_uploads import HEARD, SECONDS, digest
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

AUDIO = (model_pb2.OPERATION_TRANSCRIPTION, model_pb2.OPERATION_TRANSLATION)
SOUND = os.urandom(1_000_003)
LARGE = os.urandom(3 * 1024 * 1024)


@pytest_asyncio.fixture
async def boxes(bench: GatewayBench) -> list[ScriptedAdapter]:
    """Two that can do it; the first is preferred."""
    found = [await bench.adapter(name) for name in ("one", "two")]
    targets = [box.target(operations=AUDIO, priority=at) for at, box in enumerate(found, 1)]
    bench.control.router.show(*targets)
    return found


@pytest_asyncio.fixture
async def served(bench: GatewayBench, boxes: list[ScriptedAdapter]) -> AsyncIterator[Gateway]:
    async with gateway(bench, upload_size=4, timeouts={"stall": 1.0, "first_token": 3.0}) as running:
        await eventually(lambda: _ready(running), what="the gateway being ready")
        yield running


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a file is passed on as it comes, as a large one is."""
    monkeypatch.setattr(forms, "SMALL", 0)


async def _ready(running: Gateway) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"http://{running.http}/readyz") as answer:
        return answer.status == 200


Fields = Sequence[tuple[str, str | bytes]]


async def post(served: Gateway, fields: Fields, path: str = "transcriptions") -> tuple[int, Any]:
    """A form whose fields come in this order; bytes are a file's."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields:
        if isinstance(value, bytes):
            form.add_field(name, io.BytesIO(value), filename="sound.wav", content_type="audio/wav")
        else:
            form.add_field(name, value)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{served.http}/v1/audio/{path}", data=form) as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text()


MODEL = ("model", "m")


async def test_the_official_client_gets_each_format(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    async with served.client() as client:
        await gets_each_format(client, boxes)


async def gets_each_format(client: openai.AsyncOpenAI, boxes: list[ScriptedAdapter]) -> None:
    file = ("speech.wav", SOUND, "audio/wav")
    plain = await client.audio.transcriptions.create(file=file, model="m", language="en", temperature=0.2)
    assert isinstance(plain, Transcription)
    assert plain.text == HEARD
    received = boxes[0].uploads[0]
    assert received.whole
    assert received.files == {"file": digest(SOUND)}
    assert received.longest <= 64 * 1024
    assert received.body == {"model": "m", "language": "en", "temperature": 0.2}
    assert (received.parts[0].filename, received.parts[0].mime_type) == ("speech.wav", "audio/wav")
    verbose = await client.audio.transcriptions.create(
        file=file, model="m", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert isinstance(verbose, TranscriptionVerbose)
    assert verbose.words is not None
    assert boxes[0].uploads[1].body["timestamp_granularities"] == ["word", "segment"]
    for wanted in ("text", "srt", "vtt"):
        said = await client.audio.transcriptions.create(file=file, model="m", response_format=wanted)
        assert said == f"{HEARD}\n"
    with pytest.warns(DeprecationWarning, match="deprecated"):
        translated = await client.audio.translations.create(file=file, model="m")
    assert translated.text == HEARD
    assert boxes[0].uploads[-1].start.envelope.operation == model_pb2.OPERATION_TRANSLATION
    assert boxes[1].uploads == []


async def test_the_official_client_hears_it_piece_by_piece(served: Gateway) -> None:
    async with served.client() as client:
        stream = await client.audio.transcriptions.create(file=("s.wav", SOUND), model="m", stream=True)
        events = [event async for event in stream]
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == HEARD


ORDERS: list[Fields] = [
    [MODEL, ("language", "en"), ("file", LARGE)],
    [("file", LARGE), MODEL, ("language", "en")],
    [MODEL, ("file", LARGE), ("language", "en")],
]


@pytest.mark.parametrize("fields", ORDERS, ids=["last", "first", "middle"])
async def test_a_small_file_may_stand_anywhere(
    served: Gateway, boxes: list[ScriptedAdapter], fields: Fields
) -> None:
    status, told = await post(served, fields)
    assert (status, told["text"]) == (200, HEARD)
    assert boxes[0].uploads[0].body == {"model": "m", "language": "en"}
    assert boxes[0].uploads[0].files == {"file": digest(LARGE)}


@pytest.mark.usefixtures("nothing_is_small")
@pytest.mark.parametrize(("fields", "expected"), [*zip(ORDERS, (200, 200, 400), strict=True)])
async def test_of_a_large_one_what_comes_too_late_is_told(
    served: Gateway, boxes: list[ScriptedAdapter], fields: Fields, expected: int
) -> None:
    status, told = await post(served, fields)
    assert status == expected
    if expected == 400:
        assert told["error"]["param"] == "language"
        assert "before it" in told["error"]["message"]
        assert not any(received.whole for received in boxes[0].uploads + boxes[1].uploads)
        assert boxes[1].uploads == []
    else:
        assert boxes[0].uploads[0].files == {"file": digest(LARGE)}


REFUSED: list[tuple[Fields, str, str, str]] = [
    ([("file", SOUND)], "missing_required_parameter", "model", ""),
    ([MODEL], "missing_required_parameter", "file", ""),
    ([MODEL, ("file", b"")], "invalid_file", "file", ""),
    ([MODEL, ("image", SOUND)], "unknown_parameter", "image", ""),
    ([MODEL, ("file", SOUND), ("file", SOUND)], "invalid_multipart", "file", ""),
    ([MODEL, ("temperature", "warm"), ("file", SOUND)], "invalid_type", "temperature", "a number"),
    ([MODEL, ("temperature", "nan"), ("file", SOUND)], "invalid_value", "temperature", ""),
    ([MODEL, ("temperature", "2"), ("file", SOUND)], "invalid_value", "temperature", "between 0 and 1"),
    ([MODEL, ("stream", "maybe"), ("file", SOUND)], "invalid_type", "stream", ""),
    ([MODEL, ("response_format", "mp3"), ("file", SOUND)], "invalid_value", "response_format", "vtt"),
    ([MODEL, ("response_format", "diarized_json"), ("file", SOUND)], "unsupported_parameter", "response_format", ""),
    ([MODEL, ("timestamp_granularities[]", "word"), ("file", SOUND)], "invalid_value", "timestamp_granularities",
     "verbose_json"),
    ([MODEL, ("include[]", "logprobs"), ("file", SOUND)], "unsupported_parameter", "include", ""),
    ([MODEL, ("model", "n"), ("file", SOUND)], "invalid_value", "model", "one value"),
    ([MODEL, ("api_base", "http://x"), ("file", SOUND)], "unsupported_parameter", "api_base", ""),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "param", "words"), REFUSED)
async def test_what_is_wrong_is_named(
    served: Gateway, boxes: list[ScriptedAdapter], fields: Fields, code: str, param: str, words: str
) -> None:
    status, told = await post(served, fields)
    assert (status, told["error"]["code"], told["error"]["param"]) == (400, code, param), told
    assert words in told["error"]["message"]
    assert boxes[0].uploads == []


async def test_a_bare_name_and_a_boolean_mean_the_same(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    fields = [
        MODEL,
        ("response_format", "verbose_json"),
        ("timestamp_granularities", "word"),
        ("stream", "false"),
    ]
    status, told = await post(served, [*fields, ("file", SOUND)])
    assert (status, told["words"][0]["word"]) == (200, "one")
    assert boxes[0].uploads[0].body["timestamp_granularities"] == ["word"]


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 9 * 1024 * 1024])
async def test_too_much_is_refused_with_the_limit(
    served: Gateway, boxes: list[ScriptedAdapter], size: int
) -> None:
    status, told = await post(served, [MODEL, ("file", bytes(size))])
    assert (status, told["error"]["code"]) == (413, "request_too_large")
    assert "4" in told["error"]["message"]
    assert not any(received.whole for received in boxes[0].uploads)


async def test_one_that_refuses_costs_no_bytes_and_the_next_is_asked(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].upload_mode, boxes[0].reason = "refuse", Reason.OVERLOAD
    status, told = await post(served, [MODEL, ("file", LARGE)])
    assert (status, told["text"]) == (200, HEARD)
    assert boxes[0].uploads[0].size == 0
    assert boxes[1].uploads[0].files == {"file": digest(LARGE)}


@pytest.mark.usefixtures("nothing_is_small")
async def test_so_it_is_with_one_that_is_passed_on(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].upload_mode, boxes[0].reason = "refuse", Reason.OVERLOAD
    status, _ = await post(served, [MODEL, ("file", LARGE)])
    assert status == 200
    assert boxes[1].uploads[0].files == {"file": digest(LARGE)}


async def test_what_was_kept_goes_to_the_next_when_one_is_lost(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].upload_mode, boxes[0].stop_after = "lose", 500_000
    boxes[0].reason = Reason.BACKEND_LOST
    status, told = await post(served, [MODEL, ("file", LARGE)])
    assert (status, told["text"]) == (200, HEARD)
    assert boxes[1].uploads[0].whole
    assert boxes[1].uploads[0].files == {"file": digest(LARGE)}


@pytest.mark.usefixtures("nothing_is_small")
async def test_what_was_passed_on_is_lost_with_an_error(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    boxes[0].upload_mode, boxes[0].stop_after = "lose", 500_000
    boxes[0].reason = Reason.BACKEND_LOST
    status, told = await post(served, [MODEL, ("file", LARGE)])
    assert (status, told["error"]["code"]) == (502, "backend_lost")
    assert boxes[1].uploads == []


@pytest.mark.usefixtures("nothing_is_small")
async def test_what_is_said_of_it_on_the_way_arrives(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    """gRPC loses the status of a call that ends while its caller writes, about every other time."""
    boxes[0].upload_mode, boxes[0].stop_after = "lose", 500_000
    boxes[0].reason = Reason.INVALID_REQUEST
    for _ in range(20):
        status, told = await post(served, [MODEL, ("file", LARGE)])
        assert (status, told["error"]["message"]) == (400, "the test says so")


@pytest.mark.usefixtures("nothing_is_small")
async def test_one_that_takes_nothing_is_given_up(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].upload_mode = "stop"
    async with asyncio.timeout(20):
        status, told = await post(served, [MODEL, ("file", LARGE)])
    assert (status, told["error"]["code"]) == (504, "stream_idle_timeout")


async def test_an_answer_before_the_end_is_none(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    for box in boxes:
        box.upload_mode, box.stop_after = "hasty", 1
    status, told = await post(served, [MODEL, ("file", LARGE)])
    assert (status, told["error"]["code"]) == (502, "upstream_malformed")


async def test_half_a_streamed_answer_ends_with_an_error(
    served: Gateway, boxes: list[ScriptedAdapter]
) -> None:
    for box in boxes:
        box.upload_mode = "cut"
    types: list[str] = []
    async with served.client() as client:
        stream = await client.audio.transcriptions.create(file=("s.wav", SOUND), model="m", stream=True)
        with pytest.raises(openai.APIError) as failed:
            await _hear(stream, types)
    assert types == ["transcript.text.delta"]
    assert "the test says so" in str(failed.value)


async def _hear(stream: AsyncIterator[Any], types: list[str]) -> None:
    async for event in stream:
        types.append(event.type)  # noqa: PERF401 - what came before it fails counts


@pytest.mark.parametrize("small", [True, False])
async def test_a_broken_upload_is_never_transcribed(
    served: Gateway, boxes: list[ScriptedAdapter], small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(forms, "SMALL", 0)
    reader, writer = await asyncio.open_connection(*served.http.split(":"))
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        f"boundary=abc\r\nContent-Length: {len(LARGE) + 500}\r\n\r\n--abc\r\nContent-Disposition: form-data; "
        'name="model"\r\n\r\nm\r\n--abc\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    writer.write(head.encode() + LARGE[:2_000_000])
    await writer.drain()
    if not small:
        await eventually(
            lambda: boxes[0].uploads and boxes[0].uploads[0].size > 1_000_000, what="bytes there"
        )
    writer.close()
    if small:
        await asyncio.sleep(0.3)
        assert boxes[0].uploads == []
    else:
        await eventually(lambda: boxes[0].uploads[0].cancelled, what="the backend being free")
        assert not boxes[0].uploads[0].whole
    del reader


@pytest.mark.parametrize(
    "raw",
    [
        b"--abc\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm",
        b"--abc\r\nContent-Disposition: form-data\r\n\r\nm\r\n--abc--\r\n",
        b"--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--xyz--\r\n",
        b"--abc\r\n" + b"X-A: b\r\n" * 20 + b"Content-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--abc--\r\n",
        b"--abc\r\nContent-Disposition: form-data; name=\"" + b"m" * 9000 + b"\"\r\n\r\nm\r\n--abc--\r\n",
        b"".join(b"--abc\r\nContent-Disposition: form-data; name=\"a%d\"\r\n\r\nm\r\n" % n for n in range(99)),
        b"",
        b"--abc--\r\n",
    ],
)  # fmt: skip
async def test_a_form_that_is_none(served: Gateway, boxes: list[ScriptedAdapter], raw: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=abc"}
    url = f"http://{served.http}/v1/audio/transcriptions"
    async with aiohttp.ClientSession() as session, session.post(url, data=raw, headers=headers) as answer:
        told = await answer.json()
    assert (answer.status, told["error"]["type"]) == (400, "invalid_request_error"), told
    assert boxes[0].uploads == []


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 1000, "text/plain",
                                  "application/json", "application/x-www-form-urlencoded"])  # fmt: skip
async def test_another_kind_of_body(served: Gateway, kind: str) -> None:
    url = f"http://{served.http}/v1/audio/transcriptions"
    headers = {"Content-Type": kind}
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x=y", headers=headers) as answer:
        expected = (
            (400, "invalid_multipart") if kind.startswith("multipart") else (415, "unsupported_media_type")
        )
        assert (answer.status, (await answer.json())["error"]["code"]) == expected


async def test_a_form_is_no_chat(served: Gateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{served.http}/v1/chat/completions", data=aiohttp.FormData({"a": io.BytesIO(SOUND)})
        ) as answer,
    ):
        assert answer.status == 415


async def test_who_leaves_frees_the_backend(served: Gateway, boxes: list[ScriptedAdapter]) -> None:
    boxes[0].upload_mode = "endless"
    asking = asyncio.create_task(post(served, [MODEL, ("file", SOUND)]))
    await eventually(lambda: boxes[0].uploads and boxes[0].uploads[0].whole, what="all of it there")
    asking.cancel()
    await eventually(lambda: boxes[0].uploads[0].cancelled, what="the backend being free")


async def test_it_is_metered_like_any_other(served: Gateway) -> None:
    await post(served, [MODEL, ("file", SOUND)])
    async with aiohttp.ClientSession() as session, session.get(f"http://{served.http}/metrics") as answer:
        told = await answer.text()
    assert 'nexus_gateway_requests_total{operation="transcription",outcome="ok"}' in told
    assert "nexus_gateway_spool_bytes 0.0" in told
    [heard] = re.findall(r'^nexus_gateway_units_total{unit="input_seconds"} (\S+)', told, re.MULTILINE)
    assert float(heard) >= SECONDS
    assert json.dumps(HEARD) not in told
