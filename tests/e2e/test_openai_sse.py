"""The bytes of streams: whole ones end with [DONE], broken ones with an error, and none only looks finished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_mesh import (
    DONE,
    HELLO,
    assert_honest,
    hanging,
    pour,
    raw_chat,
    read_sse,
    sdk,
    serving,
    sync_sdk,
)
from support.fake_openai import FakeOpenAI
from support.fake_openai_garbage import KINDS, garbage
from support.fake_openai_mutations import mutated
from support.fake_openai_script import Mode
from support.live_mesh import LiveMesh, backend
from support.openai_wire import error_body
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALL = "[timeouts]\nstall = 2\nfirst_token = 5\n"
MUTATIONS = 40
LATE = 0.5
"""Seconds, less than `stall`: what arrives with its error is refused as a whole."""

GOOD: dict[str, tuple[Mode, dict[str, Any], int]] = {
    "text": (modes.ok(), {}, 1),
    "with usage": (modes.ok(), {"stream_options": {"include_usage": True}}, 1),
    "three choices": (modes.ok(), {"n": 3}, 3),
    "cut by length": (modes.ok(finish_reason="length"), {"max_tokens": 5}, 1),
    "tool calls": (modes.tool_calls(("f", '{"a": 1}'), ("g", "{}")), {}, 1),
    "reasoning": (modes.reasoning("hm hm", "yes"), {}, 1),
    "line breaks in the text": (modes.ok(text="a\n\nb\r\nc \u2028 d data: x"), {}, 1),
    "nothing to say": (modes.ok(text=""), {}, 1),
    "a split character": (garbage("split_utf8"), {}, 1),
}


BROKEN: dict[str, Mode] = {
    "reset": modes.die_after(2, "reset", pause=LATE),
    "closed": modes.die_after(2, "close", pause=LATE),
    "closed at once": modes.die_after(2, "close"),
    "ended too early": modes.die_after(2, "end"),
    "dead within an event": modes.die_after(2, "close", at_byte=9),
    "silent": modes.stall_after(2),
    "an error object": modes.stream_error(error_body("CUDA out of memory", "server_error"), pause=LATE),
    "an error and [DONE]": modes.stream_error(error_body("died", "server_error"), done=True, pause=LATE),
    "an error as a text": modes.stream_error({"error": "died"}, pause=LATE),
    "an error with a number": modes.stream_error(
        {"error": {"message": "died", "code": 500}}, done=True, pause=LATE
    ),
    "FastAPI's detail": modes.stream_error({"detail": "died"}, pause=LATE),
    "no finish reason": garbage("no_finish_reason", after=2),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeOpenAI) -> AsyncIterator[LiveMesh]:
    config = STALL + backend("box", fake.url)
    async with serving(tmp_path_factory.mktemp("sse"), config, "fake-model") as started:
        yield started


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _recovered(mesh: LiveMesh, fake: FakeOpenAI) -> AsyncIterator[None]:
    """After each test the backend has answered well again, so that none finds it ejected."""
    yield
    await _recover(mesh, fake)


async def _recover(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    fake.mode = modes.ok()
    await eventually(lambda: _serves(mesh), timeout=30, what="the backend in use again")


async def _serves(mesh: LiveMesh) -> bool:
    try:
        return (await raw_chat(mesh, "fake-model")).status == 200
    except (OSError, EOFError):
        return False


@pytest.mark.parametrize("case", GOOD)
async def test_a_good_stream_is_whole(mesh: LiveMesh, fake: FakeOpenAI, case: str) -> None:
    fake.mode, fields, choices = GOOD[case]
    answer = await raw_chat(mesh, "fake-model", stream=True, **fields)
    stream = assert_honest(answer, choices)
    assert stream is not None
    assert stream.done
    assert answer.complete
    assert answer.body.endswith(DONE)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-request-id"].startswith("req_")
    assert "content-encoding" not in answer.headers
    usage = [chunk for chunk in stream.chunks if chunk.get("usage")]
    assert len(usage) == ("stream_options" in fields)
    assert all(chunk["choices"] == [] for chunk in usage)
    assert [chunk for chunk in stream.chunks if not chunk["choices"]] == usage


async def test_a_reset_at_once_is_a_refusal_or_an_error_but_never_an_end(
    mesh: LiveMesh, fake: FakeOpenAI
) -> None:
    fake.mode = modes.die_after(2, "reset")
    answer = await raw_chat(mesh, "fake-model", stream=True)
    stream = assert_honest(answer)
    # A reset throws away what the backend sent just before it, on our side of the connection too.
    assert answer.status >= 500 if stream is None else stream.error is not None and not stream.done


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_stream_says_so(mesh: LiveMesh, fake: FakeOpenAI, case: str) -> None:
    fake.mode = BROKEN[case]
    stream = assert_honest(await raw_chat(mesh, "fake-model", stream=True))
    assert stream is not None
    assert stream.error is not None
    assert stream.error["type"] == "server_error"
    assert stream.text().split(), "what came before is kept"
    assert stream.finishes == {0: []}
    for secret in ("CUDA", "died", fake.url):
        assert secret not in stream.error["message"]


@pytest.mark.parametrize("case", ["reset", "an error and [DONE]"])
async def test_the_client_raises_what_a_broken_stream_says(
    mesh: LiveMesh, fake: FakeOpenAI, case: str
) -> None:
    fake.mode = BROKEN[case]
    got: list[Any] = []
    async with sdk(mesh) as client:
        stream = await client.chat.completions.create(model="fake-model", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError) as broken:
            await pour(stream, got)
    assert got
    assert not isinstance(broken.value, openai.APIConnectionError)
    assert broken.value.code in ("stream_interrupted", "upstream_error")

    def talk() -> str | None:
        with sync_sdk(mesh) as client, pytest.raises(openai.APIError) as sync_broken:
            list(client.chat.completions.create(model="fake-model", messages=HELLO, stream=True))
        return sync_broken.value.code

    assert await asyncio.to_thread(talk) == broken.value.code


@pytest.mark.parametrize("kind", KINDS)
async def test_garbage_never_makes_a_stream_that_lies(mesh: LiveMesh, fake: FakeOpenAI, kind: str) -> None:
    for after in (0, 2):
        fake.mode = garbage(kind, after)
        assert_honest(await raw_chat(mesh, "fake-model", stream=True))
        await _recover(mesh, fake)


async def test_random_faults_never_make_a_stream_that_lies(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    for seed in range(MUTATIONS):
        fake.script(mutated(seed))
        assert_honest(await raw_chat(mesh, "fake-model", stream=True))
        await _recover(mesh, fake)


async def test_an_adapter_killed_in_mid_stream_is_told(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    fake.mode = modes.ok(1000, interval=0.02)
    async with hanging(mesh, "fake-model", stream=True) as connection:
        await eventually(lambda: fake.calls[-1].tokens_sent > 5)
        mesh.kill("adapter")
        answer = await connection.answer()
    mesh.revive("adapter")
    stream = read_sse(answer.body)
    assert not stream.done
    assert stream.error is not None
    assert stream.error["code"] == "stream_interrupted"


async def test_a_gateway_killed_in_mid_stream_leaves_no_end_mark(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    """Nothing can be said any more, so the HTTP framing itself must be left open."""
    fake.mode = modes.ok(1000, interval=0.02)
    async with hanging(mesh, "fake-model", stream=True) as connection:
        await eventually(lambda: fake.calls[-1].tokens_sent > 5)
        mesh.kill("gateway")
        answer = await connection.answer()
    mesh.revive("gateway")
    assert not answer.complete
    assert DONE not in answer.body
    await eventually(lambda: fake.calls[-1].cancelled, what="the backend let go")
