"""Every way a backend, the mesh or the request can be wrong, as the official client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_mesh import HELLO, sdk, serving, sync_sdk
from support.fake_openai import FakeOpenAI
from support.fake_openai_garbage import garbage
from support.fake_openai_script import Mode
from support.live_mesh import LiveMesh, backend
from support.openai_wire import error_body
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD, SERVER = "invalid_request_error", "server_error"
LIMITS = '[models."mute".timeouts]\nfirst_token = 1\n[models."endless".timeouts]\ntotal = 2\n'
TOO_LONG = "This model's maximum context length is 128 tokens. However, you requested 200 tokens."


@dataclass(frozen=True)
class Wanted:
    """What the client must raise. `retry` is the value of x-should-retry, None when the header is absent."""

    error: type[openai.APIStatusError]
    status: int
    type: str
    code: str
    param: str | None = None
    retry: str | None = None


def server(status: int, code: str, retry: str = "false") -> Wanted:
    return Wanted(openai.InternalServerError, status, SERVER, code, retry=retry)


def bad(code: str, param: str | None = None) -> Wanted:
    return Wanted(openai.BadRequestError, 400, BAD, code, param)


UPSTREAM: dict[str, tuple[Mode, Wanted]] = {
    "400": (modes.error(400), bad("invalid_value")),
    "400 with its parameter": (modes.error(400, error_body("no", param="seed")), bad("invalid_value", "seed")),
    "400 too long": (modes.error(400, error_body(TOO_LONG)), bad("context_length_exceeded", "messages")),
    "400 of llama.cpp": (
        modes.error(400, {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error",
                                    "n_prompt_tokens": 200, "n_ctx": 128}}),
        bad("context_length_exceeded", "messages"),
    ),
    "401": (modes.error(401), server(502, "upstream_error")),
    "403": (modes.error(403), server(502, "upstream_error")),
    "404 of a model": (
        modes.error(404, error_body("The model does not exist.", code="model_not_found")),
        Wanted(openai.NotFoundError, 404, BAD, "model_not_found"),
    ),
    "404 of FastAPI": (modes.error(404, {"detail": "Not Found"}), bad("capability_missing")),
    "408": (modes.error(408), server(504, "timeout")),
    "409": (modes.error(409), bad("invalid_value")),
    "413": (modes.error(413), Wanted(openai.APIStatusError, 413, BAD, "request_too_large")),
    "422 of FastAPI": (modes.error(422, {"detail": [{"loc": ["body"], "msg": "no"}]}), bad("invalid_value")),
    "429": (
        modes.rate_limited("1"),
        Wanted(openai.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded", retry="true"),
    ),
    "500": (modes.error(500), server(502, "upstream_error")),
    "500 as a text": (modes.error(500, {"error": "went wrong"}), server(502, "upstream_error")),
    "500 of a proxy": (modes.error(500, b"<html>oops</html>"), server(502, "upstream_error")),
    "503 loading": (
        modes.error(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        server(503, "model_not_ready", "true"),
    ),
    "503": (modes.error(503, b""), server(503, "backend_down")),
    "504": (modes.error(504), server(504, "timeout")),
    "a redirect": (modes.error(307, b"", {"Location": "http://127.0.0.1:9/"}), server(502, "upstream_error")),
    "no answer": (modes.drop(), server(502, "backend_lost")),
    "half an answer": (modes.die_after(2), server(502, "backend_lost")),
    "html": (garbage("html"), server(502, "upstream_malformed")),
    "broken JSON": (garbage("broken_json"), server(502, "upstream_malformed")),
    "too much": (modes.huge(), server(502, "upstream_response_too_large")),
}  # fmt: skip

TOOL_WITHOUT_NAME: Any = [{"type": "function", "function": {"description": "x"}}]
REQUESTS: dict[str, tuple[dict[str, Any], Wanted]] = {
    "no messages": ({"messages": []}, bad("missing_required_parameter", "messages")),
    "a wrong role": ({"messages": [{"role": "robot", "content": "x"}]}, bad("invalid_value", "messages[0].role")),
    "too cold": ({"temperature": -3}, bad("invalid_value", "temperature")),
    "no number": ({"temperature": "hot"}, bad("invalid_type", "temperature")),
    "n of 0": ({"n": 0}, bad("invalid_value", "n")),
    "a tool without a name": ({"tools": TOOL_WITHOUT_NAME},
                              bad("missing_required_parameter", "tools[0].function.name")),
    "another address": ({"extra_body": {"api_base": "http://x"}}, bad("unsupported_parameter", "api_base")),
    "a model nobody has": ({"model": "fake-modle"}, Wanted(openai.NotFoundError, 404, BAD, "model_not_found", "model")),
    "a web page's request": (
        {"extra_headers": {"Origin": "https://evil.example"}},
        Wanted(openai.PermissionDeniedError, 403, "permission_error", "origin_not_allowed"),
    ),
    "another host's name": (
        {"extra_headers": {"Host": "evil.example"}},
        Wanted(openai.APIStatusError, 421, BAD, "misdirected_request"),
    ),
    "no JSON": (
        {"extra_headers": {"Content-Type": "text/plain"}},
        Wanted(openai.APIStatusError, 415, BAD, "unsupported_media_type"),
    ),
    "too large": (
        {"messages": [{"role": "user", "content": "x" * 17 * 1024 * 1024}]},
        Wanted(openai.APIStatusError, 413, BAD, "request_too_large"),
    ),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("fake-model", "mute", "endless") as started:
        started.model_modes["mute"] = modes.hang_accept()
        started.model_modes["endless"] = modes.ok(1000, interval=0.05)
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeOpenAI) -> AsyncIterator[LiveMesh]:
    config = backend("box", fake.url) + LIMITS
    async with serving(tmp_path_factory.mktemp("errors"), config, "fake-model", "mute") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, fake: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client; afterwards the backend has answered well again, so that no test finds it ejected."""
    async with sdk(mesh) as opened:
        yield opened
        fake.mode = modes.ok()
        await eventually(lambda: _answers(opened), timeout=30, what="the backend in use again")


def assert_is(error: openai.APIStatusError, wanted: Wanted) -> None:
    assert type(error) is wanted.error
    assert (error.status_code, error.type, error.code, error.param) == (
        wanted.status, wanted.type, wanted.code, wanted.param,
    )  # fmt: skip
    headers = error.response.headers
    assert headers.get("x-should-retry") == wanted.retry
    assert (error.request_id or "").startswith("req_")
    assert error.request_id == headers["x-request-id"]
    assert isinstance(error.body, dict)
    assert set(error.body) - {"context"} == {"message", "type", "param", "code", "docs"}
    assert headers["content-type"] == "application/json"
    if wait := headers.get("retry-after"):
        assert 1 <= int(wait) <= 120


@pytest.mark.parametrize("case", UPSTREAM)
async def test_what_a_backend_answers(client: openai.AsyncOpenAI, fake: FakeOpenAI, case: str) -> None:
    fake.mode, wanted = UPSTREAM[case]
    with pytest.raises(openai.APIStatusError) as whole:
        await client.chat.completions.create(model="fake-model", messages=HELLO)
    assert_is(whole.value, wanted)
    assert "fake was told" not in str(whole.value) or wanted.status == 400


STREAMED = ("400", "400 too long", "404 of a model", "413", "429", "500", "503", "no answer", "html")


@pytest.mark.parametrize("case", STREAMED)
async def test_a_stream_that_fails_before_it_begins_is_a_true_status(
    client: openai.AsyncOpenAI, fake: FakeOpenAI, case: str
) -> None:
    fake.mode, wanted = UPSTREAM[case]
    with pytest.raises(openai.APIStatusError) as refused:
        await client.chat.completions.create(model="fake-model", messages=HELLO, stream=True)
    assert_is(refused.value, wanted)


@pytest.mark.parametrize("case", REQUESTS)
async def test_what_a_request_gets_wrong(client: openai.AsyncOpenAI, fake: FakeOpenAI, case: str) -> None:
    fields, wanted = REQUESTS[case]
    asked = len(fake.calls)
    with pytest.raises(openai.APIStatusError) as refused:
        await client.chat.completions.create(**{"model": "fake-model", "messages": HELLO, **fields})
    assert_is(refused.value, wanted)
    assert len(fake.calls) == asked


async def test_the_sync_client_raises_the_same(
    client: openai.AsyncOpenAI, mesh: LiveMesh, fake: FakeOpenAI
) -> None:
    fake.mode, wanted = UPSTREAM["400 too long"]

    def talk() -> openai.APIStatusError:
        with sync_sdk(mesh) as sync, pytest.raises(openai.APIStatusError) as refused:
            sync.chat.completions.create(model="fake-model", messages=HELLO)
        return refused.value

    assert_is(await asyncio.to_thread(talk), wanted)


async def test_paths_and_methods_that_are_not_there(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.get("/nothing", cast_to=object)
    assert_is(missing.value, Wanted(openai.NotFoundError, 404, BAD, "unknown_url"))
    with pytest.raises(openai.APIStatusError) as wrong:
        await client.get("/chat/completions", cast_to=object)
    assert_is(wrong.value, Wanted(openai.APIStatusError, 405, BAD, "method_not_allowed"))


@pytest.mark.parametrize(("model", "code"), [("mute", "stream_idle_timeout"), ("endless", "timeout")])
async def test_a_backend_s_time_ends_at_the_model_s_limit(
    client: openai.AsyncOpenAI, fake: FakeOpenAI, model: str, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as late:
        await client.chat.completions.create(model=model, messages=HELLO, stream=model == "mute")
    assert_is(late.value, server(504, code))
    await eventually(lambda: fake.calls[-1].cancelled, what="the backend let go")


async def test_a_client_that_waits_no_longer_frees_the_backend(
    client: openai.AsyncOpenAI, fake: FakeOpenAI
) -> None:
    fake.mode = modes.hang_accept()
    asked = len(fake.calls)
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="fake-model", messages=HELLO, timeout=1.0)
    await eventually(lambda: len(fake.calls) > asked and fake.calls[-1].cancelled)


async def test_a_backend_that_is_gone_is_told_as_such(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    port = fake.port
    await fake.stop()
    try:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as down:
                await client.chat.completions.create(model="fake-model", messages=HELLO)
            assert_is(down.value, server(503, "backend_down", retry="true"))
    finally:
        await fake.start(port)


async def _answers(client: openai.AsyncOpenAI) -> bool:
    try:
        await client.chat.completions.create(model="fake-model", messages=HELLO)
    except openai.APIStatusError:
        return False
    return True
