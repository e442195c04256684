"""Backends that fail, lie or fall silent: every way ends in the right reason, never in a false success."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from typing import Any

import pytest
import support.fake_openai_modes as modes
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench, Streamed, envelope
from support.fake_openai import FakeOpenAI
from support.fake_openai_garbage import KINDS, WHOLE_KINDS, garbage
from support.fake_openai_mutations import mutated
from support.fake_openai_script import Death
from support.waiting import eventually

LEGAL = {
    "split_utf8", "no_done", "events_after_done", "wrong_usage", "negative_usage", "text_usage", "nan_logprob",
    "two_finish_reasons", "choices_null",
}  # fmt: skip
"""Streams that are strange and still complete: C1-C3, an oddity in the bookkeeping costs the bookkeeping."""
MEANT = {
    "half_event": Reason.BACKEND_LOST,
    "no_blank_line": Reason.BACKEND_LOST,
    "empty_body": Reason.BACKEND_LOST,
    "unknown_finish_reason": Reason.UPSTREAM_ERROR,
}
BROKEN = {Reason.UPSTREAM_MALFORMED, Reason.BACKEND_LOST, Reason.UPSTREAM_ERROR}
REPAIRED = {"tool_call_without_index", "tool_call_object_arguments", "tool_call_index_gaps"}
ODD_BOOKS = {"wrong_usage", "negative_usage", "text_usage", "nan_logprob"}
STATUSES = [
    (400, Reason.INVALID_REQUEST),
    (401, Reason.UPSTREAM_ERROR),
    (403, Reason.UPSTREAM_ERROR),
    (405, Reason.CAPABILITY_MISSING),
    (413, Reason.REQUEST_TOO_LARGE),
    (422, Reason.INVALID_REQUEST),
    (429, Reason.RATE_LIMIT),
    (500, Reason.UPSTREAM_ERROR),
    (502, Reason.UPSTREAM_ERROR),
    (503, Reason.BACKEND_DOWN),
    (504, Reason.TIMEOUT),
    (204, Reason.UPSTREAM_MALFORMED),
    (302, Reason.UPSTREAM_ERROR),
]


async def reason_of(bench: Bench, backend: Backend, *, stream: bool, **body: Any) -> Reason:
    with pytest.raises(MeshError) as caught:
        await (bench.stream if stream else bench.complete)(backend, {**HELLO, **body})
    return caught.value.reason


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "reason"), STATUSES)
async def test_status_codes(
    bench: Bench, fake_openai: FakeOpenAI, status: int, reason: Reason, stream: bool
) -> None:
    fake_openai.mode = modes.error(status)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=stream) is reason


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad</html>", b'"text"', b'{"error": "flat"}', b'{"detail": [1]}', b"\xff"]
)
async def test_error_bodies_of_every_form(bench: Bench, fake_openai: FakeOpenAI, body: bytes) -> None:
    fake_openai.mode = modes.error(500, body)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=False) is Reason.UPSTREAM_ERROR


async def test_a_busy_backend_says_when_to_return(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.rate_limited("7")
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, HELLO)
    assert caught.value.retry_after == 7.0


async def test_the_words_of_a_500_stay_inside(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.error(500, {"error": {"message": "Traceback: /secret/path"}})
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, HELLO)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [0, 2])
async def test_garbage_in_a_stream(bench: Bench, fake_openai: FakeOpenAI, kind: str, after: int) -> None:
    fake_openai.mode = garbage(kind, after)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    if kind in LEGAL | REPAIRED:
        streamed = await bench.stream(backend, HELLO)
        assert streamed.finish is not None
        assert len(streamed.finish_reasons) == 1
        assert "late" not in streamed.text()
    else:
        expected = MEANT.get(kind, Reason.UPSTREAM_MALFORMED)
        assert await reason_of(bench, backend, stream=True) is expected
    fake_openai.mode = modes.ok()
    assert (await bench.stream(backend, HELLO)).finish is not None


async def test_split_characters_come_out_whole(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = garbage("split_utf8")
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert (await bench.stream(backend, HELLO)).text() == "\u20ac"


@pytest.mark.parametrize("kind", [kind for kind in WHOLE_KINDS if kind not in ODD_BOOKS])
async def test_garbage_as_a_whole_answer(bench: Bench, fake_openai: FakeOpenAI, kind: str) -> None:
    fake_openai.mode = garbage(kind)
    fake_openai.streams = False
    backend = await bench.serve("openai_compatible", fake_openai.url)
    reason = await reason_of(bench, backend, stream=False)
    assert reason is (Reason.UPSTREAM_ERROR if kind == "unknown_finish_reason" else Reason.UPSTREAM_MALFORMED)


@pytest.mark.parametrize(
    "error", [{"error": {"message": "x", "code": 500}}, {"error": "text"}, {"error": ["odd"]}]
)
@pytest.mark.parametrize("done", [False, True])
async def test_an_error_event_is_an_error(
    bench: Bench, fake_openai: FakeOpenAI, error: Any, done: bool
) -> None:
    fake_openai.mode = modes.stream_error(error, after=2, done=done)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=True) is Reason.UPSTREAM_ERROR


@pytest.mark.parametrize(
    "event", [{"detail": "x"}, {"object": "error", "message": "x"}, {"choices": None}, {}]
)
async def test_an_event_that_is_no_chunk_is_malformed(
    bench: Bench, fake_openai: FakeOpenAI, event: dict[str, Any]
) -> None:
    fake_openai.mode = modes.stream_error(event, after=2, done=True)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=True) is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize("how", ["reset", "close", "end"])
@pytest.mark.parametrize(("after", "at_byte"), [(0, 0), (0, 20), (3, 0), (3, 60)])
async def test_a_backend_that_dies_in_a_stream_is_lost(
    bench: Bench, fake_openai: FakeOpenAI, how: Death, after: int, at_byte: int
) -> None:
    fake_openai.mode = modes.die_after(after, how, at_byte)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=True) is Reason.BACKEND_LOST


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_backend_that_dies_in_a_whole_answer_is_lost(
    bench: Bench, fake_openai: FakeOpenAI, how: Death
) -> None:
    fake_openai.mode = modes.die_after(3, how)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=False) is Reason.BACKEND_LOST


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_dropped_without_a_word(
    bench: Bench, fake_openai: FakeOpenAI, stream: bool
) -> None:
    fake_openai.mode = modes.drop()
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=stream) is Reason.BACKEND_LOST


async def test_compressed_answers_are_refused(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.gzip_bomb()
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=False) is Reason.UPSTREAM_MALFORMED


async def test_an_answer_beyond_the_limit_is_refused(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.huge()
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await reason_of(bench, backend, stream=False) is Reason.RESPONSE_TOO_LARGE


@pytest.mark.parametrize("mode", [modes.hang_accept(), modes.slow_first_token(30.0), modes.stall_after(2)])
async def test_a_silent_stream_is_given_up(impatient: Bench, fake_openai: FakeOpenAI, mode: Any) -> None:
    fake_openai.mode = mode
    backend = await impatient.serve("openai_compatible", fake_openai.url)
    assert await reason_of(impatient, backend, stream=True) is Reason.STREAM_IDLE_TIMEOUT
    await eventually(lambda: fake_openai.calls[-1].cancelled, what="the backend to be told")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_total_time_is_bounded(impatient: Bench, fake_openai: FakeOpenAI, stream: bool) -> None:
    fake_openai.mode = modes.ok(1000, interval=0.02)
    backend = await impatient.serve("openai_compatible", fake_openai.url)
    assert await reason_of(impatient, backend, stream=stream) is Reason.TIMEOUT
    await eventually(lambda: fake_openai.calls[-1].cancelled, what="the backend to be told")


async def test_a_slow_client_is_not_a_silent_backend(impatient: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await impatient.serve("openai_compatible", fake_openai.url)
    texts: list[str] = []
    async with aclosing(backend.stream(envelope(backend, HELLO), {**HELLO})) as events:
        async for event in events:
            texts += event if isinstance(event, list) else []
            await asyncio.sleep(0.6)
    assert json.loads(texts[-1])["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_cancels_the_backend(bench: Bench, fake_openai: FakeOpenAI, stream: bool) -> None:
    fake_openai.mode = modes.ok(1000, interval=0.05)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    task = asyncio.ensure_future((bench.stream if stream else bench.complete)(backend, HELLO))
    await eventually(lambda: fake_openai.in_flight, what="the request to arrive")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: fake_openai.calls[-1].cancelled, 1.0, "the backend to be told")
    assert backend.describe().load.active == 0


async def test_leaving_a_stream_cancels_the_backend(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.ok(1000, interval=0.05)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    async with aclosing(backend.stream(envelope(backend, HELLO), {**HELLO})) as events:
        await anext(events)
    await eventually(lambda: fake_openai.calls[-1].cancelled, 1.0, "the backend to be told")


async def test_cancelled_connections_are_never_used_again(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """S-11: two tenants, a third of the requests cancelled anywhere; every answer carries its own nonce."""
    fake_openai.mode = modes.echo()
    backend = await bench.serve("openai_compatible", fake_openai.url)
    chance = random.Random(11)
    answers: dict[str, str] = {}

    async def ask(nonce: str, stream: bool) -> None:
        body = {"messages": [{"role": "user", "content": nonce}]}
        if stream:
            answers[nonce] = (await bench.stream(backend, body)).text()
        else:
            answers[nonce] = (await bench.complete(backend, body))["choices"][0]["message"]["content"]

    for round_number in range(40):
        tasks = [
            asyncio.ensure_future(ask(f"tenant-{number % 2} nonce-{round_number}-{number}", number % 3 == 0))
            for number in range(25)
        ]
        for task in tasks:
            if chance.random() < 0.3:
                asyncio.get_running_loop().call_later(chance.random() * 0.02, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
    assert len(answers) > 500
    assert all(nonce == answer for nonce, answer in answers.items())


@pytest.mark.parametrize("first", range(0, 1000, 250))
async def test_a_thousand_mutated_streams(impatient: Bench, fake_openai: FakeOpenAI, first: int) -> None:
    """F-63: nothing unhandled, and what ends well has a finish reason and whole chunks."""
    backend = await impatient.serve("openai_compatible", fake_openai.url)
    outcomes: list[Streamed | Reason] = []
    for seed in range(first, first + 250):
        fake_openai.mode = mutated(seed)
        try:
            outcomes.append(await impatient.stream(backend, HELLO))
        except MeshError as error:
            outcomes.append(error.reason)
    good = [outcome for outcome in outcomes if isinstance(outcome, Streamed)]
    assert len(outcomes) == 250
    assert 0 < len(good) < 250
    # A mutation may leave the engine's stream silent; that is told as what it is.
    failed = {outcome for outcome in outcomes if isinstance(outcome, Reason)}
    assert failed <= BROKEN | {Reason.STREAM_IDLE_TIMEOUT}
    assert all(streamed.finish is not None and len(streamed.finish_reasons) == 1 for streamed in good)


async def test_mutated_whole_answers(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.streams = False
    backend = await bench.serve("openai_compatible", fake_openai.url)
    outcomes: set[str] = set()
    for seed in range(300):
        fake_openai.mode = mutated(seed)
        try:
            body = await bench.complete(backend, HELLO)
        except MeshError as error:
            outcomes.add(error.reason.value)
        else:
            outcomes.add(body["choices"][0]["finish_reason"])
    assert outcomes <= {"stop", "length", *BROKEN}


async def test_a_dead_backend_is_seen_at_once_and_comes_back(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    port = fake_openai.port
    await fake_openai.stop()
    first = await reason_of(bench, backend, stream=False)
    assert first in {
        Reason.BACKEND_DOWN,
        Reason.BACKEND_LOST,
    }  # lost: on the connection that was open until now
    assert await reason_of(bench, backend, stream=False) is Reason.BACKEND_DOWN
    await eventually(
        lambda: bench.board.get().backends[0].state == instance_pb2.STATE_UNHEALTHY, 1.0, "the status to tell"
    )
    assert bench.board.get().backends[0].state_reason
    await fake_openai.start(port)
    await eventually(
        lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, 8.0, "the backend to return"
    )
    await bench.complete(backend, HELLO)


async def test_places_queue_and_overload(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.ok(3, interval=0.1)
    backend = await bench.serve("openai_compatible", fake_openai.url, max_concurrency=2)
    tasks = [asyncio.ensure_future(bench.complete(backend, HELLO)) for _ in range(8)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, MeshError)]
    assert [error.reason for error in refused] == [Reason.OVERLOAD] * 2
    assert all(error.retry_after for error in refused)
    assert fake_openai.max_in_flight == 2
