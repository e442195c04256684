"""How often the official client asks again, counted at the backend: the mesh says when it helps, and when not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_mesh import HELLO, pour, raw_chat, sdk, serving
from support.fake_openai import FakeOpenAI
from support.fake_openai_script import Mode
from support.live_mesh import LiveMesh, backend

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}

FINAL: dict[str, Mode] = {
    "a wrong request": modes.error(400),
    "409, which the client would repeat": modes.error(409),
    "408, which the client would repeat": modes.error(408),
    "a failure": modes.error(500),
    "a backend that is down": modes.error(503, b""),
    "a lost backend": modes.drop(),
    "a wait nobody should sit through": modes.rate_limited("500"),
}
PASSING: dict[str, Mode] = {
    "a busy backend": modes.rate_limited("1"),
    "a loading model": modes.error(503, LOADING, {"Retry-After": "1"}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeOpenAI) -> AsyncIterator[LiveMesh]:
    async with serving(tmp_path_factory.mktemp("retries"), backend("box", fake.url), "fake-model") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, fake: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh, max_retries=2) as opened:
        yield opened
        fake.mode = modes.ok()
        await opened.chat.completions.create(model="fake-model", messages=HELLO)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FINAL)
async def test_what_asking_again_would_not_help_is_asked_once(
    client: openai.AsyncOpenAI, fake: FakeOpenAI, case: str, stream: bool
) -> None:
    fake.mode, asked = FINAL[case], len(fake.calls)
    with pytest.raises(openai.APIStatusError):
        await client.chat.completions.create(model="fake-model", messages=HELLO, stream=stream)
    assert len(fake.calls) == asked + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", PASSING)
async def test_what_passes_is_asked_again_and_then_served(
    client: openai.AsyncOpenAI, fake: FakeOpenAI, case: str, stream: bool
) -> None:
    fake.script(PASSING[case])
    asked = len(fake.calls)
    await client.chat.completions.create(model="fake-model", messages=HELLO, stream=stream)
    assert len(fake.calls) == asked + 2


async def test_the_backend_s_own_wait_is_passed_on(
    client: openai.AsyncOpenAI, mesh: LiveMesh, fake: FakeOpenAI
) -> None:
    fake.script(modes.rate_limited("7"))
    answer = await raw_chat(mesh, "fake-model")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.headers["x-should-retry"] == "true"


async def test_a_second_backend_is_asked_before_the_client_hears_of_it(
    mesh: LiveMesh, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with FakeOpenAI(mode=modes.error(500)) as ill, FakeOpenAI() as well:
        config = backend("ill", ill.url, priority=1) + backend("well", well.url, priority=2)
        home = tmp_path_factory.mktemp("failover")
        async with serving(home, config, "fake-model") as two, sdk(two) as client:
            for stream in (False, True):
                raw = await client.chat.completions.with_raw_response.create(
                    model="fake-model", messages=HELLO, stream=stream
                )
                assert raw.headers["x-nexus-backend"] == "well"
            assert (len(ill.calls), len(well.calls)) == (2, 2)


async def test_a_stream_is_never_begun_twice(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.script(modes.die_after(2))
    asked = len(fake.calls)
    got: list[Any] = []
    stream = await client.chat.completions.create(model="fake-model", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        await pour(stream, got)
    assert got
    assert len(fake.calls) == asked + 1
