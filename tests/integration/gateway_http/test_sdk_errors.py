"""What the official client makes of every failure: the exception, its fields, and how often it asks again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from nexus_gateway.http.status import REASONS
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_pipeline import chunks, delta, finish, raw_chunks
from support.edge_server import running_edge

ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SAID = "What happened, why, what to do."
EXCEPTIONS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}


@pytest.mark.parametrize("stream", [False, True])
async def test_every_reason_reaches_the_client_as_its_exception(stream: bool) -> None:
    async with running_edge() as edge, edge.client() as client:
        for reason, answer in REASONS.items():
            edge.pipeline.failure = MeshError(reason, SAID, metadata={"param": "model"})
            with pytest.raises(EXCEPTIONS.get(answer.status, openai.InternalServerError)) as caught:
                await client.chat.completions.create(**ASK, stream=stream)
            error = caught.value
            assert (error.status_code, error.code, error.type, error.param) == (
                answer.status,
                answer.code,
                answer.type,
                "model",
            )
            assert SAID in str(error)
            assert (error.request_id or "").startswith("req_")


async def test_a_fault_of_ours_never_shows_its_text() -> None:
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.failure = ValueError("secret internal detail 123")
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**ASK)
        assert caught.value.code == "internal_error"
        assert "secret" not in caught.value.response.text
        assert str(caught.value.request_id) in str(caught.value)


RETRIES = [
    (Reason.OVERLOAD, 0.2, 2),
    (Reason.RATE_LIMIT, 0.2, 2),
    (Reason.RATE_LIMIT, 121, 1),
    (Reason.DRAINING, None, 2),
    (Reason.BACKEND_DOWN, None, 1),
    (Reason.BACKEND_LOST, None, 1),
    (Reason.UPSTREAM_ERROR, None, 1),
    (Reason.INTERNAL, None, 1),
    (Reason.TIMEOUT, None, 1),
    (Reason.ALREADY_EXISTS, None, 1),
    (Reason.INVALID_REQUEST, None, 1),
]


@pytest.mark.parametrize(("reason", "wait", "calls"), RETRIES)
async def test_the_client_asks_again_only_where_that_can_help(
    reason: Reason, wait: float | None, calls: int
) -> None:
    async with running_edge() as edge, edge.client(retries=1) as client:
        edge.pipeline.failure = MeshError(reason, SAID, retry_after=wait)
        with pytest.raises(openai.APIStatusError):
            await client.chat.completions.create(**ASK)
        assert len(edge.pipeline.requests) == calls


FIRST = chunks(delta(content="Hel"))
BROKEN: dict[str, tuple[list[Any], str]] = {
    "backend lost": ([FIRST, MeshError(Reason.BACKEND_LOST, SAID)], "stream_interrupted"),
    "stalled": ([FIRST, MeshError(Reason.STREAM_IDLE_TIMEOUT, SAID)], "stream_idle_timeout"),
    "too long": ([FIRST, MeshError(Reason.TIMEOUT, SAID)], "timeout"),
    "backend's own failure": ([FIRST, MeshError(Reason.UPSTREAM_ERROR, SAID)], "upstream_error"),
    "shutdown": ([FIRST, MeshError(Reason.DRAINING, SAID)], "server_shutting_down"),
    "garbage": ([FIRST, raw_chunks("{oops")], "upstream_malformed"),
    "no finish reason": ([FIRST, finish()], "upstream_malformed"),
    "no finish": ([FIRST, chunks(delta(finish="stop"))], "upstream_malformed"),
    "our bug": ([FIRST, ValueError("secret")], "internal_error"),
}


async def exhaust(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_stream_never_looks_finished(name: str) -> None:
    steps, code = BROKEN[name]
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.steps = steps
        stream = aiter(await client.chat.completions.create(**ASK, stream=True))
        assert (await anext(stream)).choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError) as caught:
            await exhaust(stream)
        assert caught.value.code == code
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("steps", [[], [raw_chunks("{oops")], [finish()]])
async def test_a_stream_that_breaks_before_its_first_content_is_a_status(steps: list[Any]) -> None:
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.steps = steps
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(**ASK, stream=True)
        assert (caught.value.status_code, caught.value.code) == (502, "upstream_malformed")


async def test_a_wrong_key() -> None:
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.keys = {"another"}
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
        assert caught.value.response.headers["www-authenticate"] == "Bearer"
