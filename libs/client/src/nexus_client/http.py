"""The way of a key: the gateway's HTTP endpoint. It asks no proxy: who talks to whom is nobody else's business."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Literal
from urllib.parse import quote, unquote

import httpx2
from msgspec import Struct
from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

from nexus_client import wire
from nexus_client.failures import from_answer, from_failure, unreachable
from nexus_client.transport import Action, Request, Transport
from nexus_client.types import (
    Answer,
    Count,
    Embeddings,
    Event,
    Explanation,
    Model,
    ModelState,
    Picture,
    Progress,
    Served,
    Started,
)

__all__ = ["HttpTransport"]

CONNECT_SECONDS = 5.0
DONE = "[DONE]"
DATA = b"data: "
STEPS = re.compile(rb": (\d+)/(\d+)( [a-z]+)?")
"""A comment that tells how far something is."""
STATES: dict[Action, Literal["loaded", "unloaded", "deleted"]] = {
    "load": "loaded",
    "unload": "unloaded",
    "delete": "deleted",
}


class _State(Struct):
    id: str
    backend: str = ""
    instance: str = ""
    memory_bytes: int = 0


class _Step(Struct):
    object: str = ""
    phase: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    error: wire.Failure | None = None


class HttpTransport(Transport):
    """`url`: of the gateway, with or without /v1 at its end."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1/"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        self._client = httpx2.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            # The whole request has its own end; a model may well think for minutes between two bytes.
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def complete(self, request: Request) -> Answer:
        response = await self._post(request, _path(request))
        return wire.answer(response.content, _served(response))

    async def embed(self, request: Request) -> Embeddings:
        response = await self._post(request, _path(request))
        return wire.embeddings(response.content, _served(response))

    async def count(self, request: Request) -> Count:
        told = (await self.explain(request)).count
        if told is None:
            raise MeshError(
                Reason.MODEL_NOT_READY, f"Nobody who could count for {request.model!r} can serve it now."
            )
        return told

    async def explain(self, request: Request) -> Explanation:
        return wire.explanation((await self._post(request, "route/explain")).content)

    async def models(self, timeout: float) -> tuple[Model, ...]:
        return wire.models((await self._whole("GET", "models", timeout)).content)

    async def manage(self, action: Action, model: str, backend: str, timeout: float) -> ModelState:
        method, end = ("DELETE", "") if action == "delete" else ("POST", f"/{action}")
        path = f"models/{quote(model, safe='/')}{end}" + (f"?backend={quote(backend)}" if backend else "")
        told = wire.decoded((await self._whole(method, path, timeout)).content, _State)
        return ModelState(told.id, STATES[action], told.backend, told.instance, told.memory_bytes)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[AsyncGenerator[Event, None], None]:
        body = {**_body(request), "stream": True, "stream_options": {"include_usage": True}}
        path, headers = _path(request), _headers(request)
        async with (
            self._opened(path, body, headers, request.options.timeout) as (response, pieces),
            aclosing(_events(_served(response), pieces)) as events,
        ):
            yield events

    @asynccontextmanager
    async def speak(self, request: Request) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        asked = (_path(request), _body(request), _headers(request), request.options.timeout)
        async with (
            self._begun(*asked) as (response, deadline),
            aclosing(_bytes(response, deadline)) as pieces,
        ):
            yield pieces

    @asynccontextmanager
    async def draw(self, request: Request) -> AsyncGenerator[AsyncGenerator[Progress | Picture, None], None]:
        asked = (
            _path(request),
            {**_body(request), "stream": True},
            _headers(request),
            request.options.timeout,
        )
        async with (
            self._begun(*asked) as (response, deadline),
            aclosing(_bytes(response, deadline)) as pieces,
            aclosing(_drawn(pieces, request.body.get("n", 1))) as steps,
        ):
            yield steps

    @asynccontextmanager
    async def pull(
        self, model: str, backend: str, timeout: float
    ) -> AsyncGenerator[AsyncGenerator[Progress, None], None]:
        body = {"model": model, **({"backend": backend} if backend else {})}
        async with (
            self._opened("models/pull", body, {}, timeout) as (_, pieces),
            aclosing(_steps(pieces)) as steps,
        ):
            yield steps

    async def _post(self, request: Request, path: str) -> httpx2.Response:
        content, headers = wire.as_json(_body(request)), _headers(request)
        return await self._whole("POST", path, request.options.timeout, content, headers)

    async def _whole(
        self,
        method: str,
        path: str,
        timeout: float,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        typed = {"content-type": "application/json"} if content is not None else {}
        try:
            async with asyncio.timeout(timeout):
                response = await self._opened_client().request(
                    method, path, content=content, headers={**typed, **(headers or {})}
                )
        except TimeoutError:
            raise _late() from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise unreachable(error, self._url) from None
        if response.is_success:
            return response
        raise from_answer(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def _opened(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str], timeout: float
    ) -> AsyncGenerator[tuple[httpx2.Response, AsyncGenerator[str, None]], None]:
        """A stream of events: the head, and what each event says."""
        async with (
            self._begun(path, body, headers, timeout) as (response, deadline),
            aclosing(_pieces(response, deadline)) as pieces,
        ):
            yield response, pieces

    @asynccontextmanager
    async def _begun(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str], timeout: float
    ) -> AsyncGenerator[tuple[httpx2.Response, float], None]:
        """A good answer's head, and when there must be all of it. Leaving it hangs up, so that the backend stops."""
        deadline = asyncio.get_running_loop().time() + timeout
        client = self._opened_client()
        sent = {"content-type": "application/json", **headers}
        try:
            async with asyncio.timeout_at(deadline):
                asked = client.build_request("POST", path, content=wire.as_json(body), headers=sent)
                response = await client.send(asked, stream=True)
                content = b"" if response.is_success else await response.aread()
        except TimeoutError:
            raise _late() from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise unreachable(error, self._url) from None
        try:
            if not response.is_success:
                raise from_answer(response.status_code, response.headers, content)
            yield response, deadline
        finally:
            await response.aclose()

    def _opened_client(self) -> httpx2.AsyncClient:
        if self._client is None:
            raise MeshError(Reason.NOT_READY, "The client is not open: use it in a `with` block.")
        return self._client


async def _pieces(response: httpx2.Response, deadline: float) -> AsyncGenerator[str, None]:
    """What each event says, until the stream says it has ended. Raises MeshError when it was cut before."""
    events = aiter(httpx2.EventSource(response, None))
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                event = await anext(events, None)
        except TimeoutError:
            raise _late() from None
        except httpx2.HTTPError:
            raise _cut() from None
        if event is None:
            raise _cut()
        if event.data == DONE:
            return
        yield event.data


async def _bytes(response: httpx2.Response, deadline: float) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises MeshError when it was cut."""
    body = response.aiter_bytes()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(body, None)
        except TimeoutError:
            raise _late() from None
        except httpx2.HTTPError:
            raise _cut() from None
        if piece is None:
            return
        yield piece


async def _events(served: Served | None, pieces: AsyncIterator[str]) -> AsyncGenerator[Event, None]:
    if served is not None:
        yield Started(served)
    told = wire.Told()
    async for piece in pieces:
        for event in told.events(piece):
            yield event
        if told.error is not None:
            raise from_failure(told.error)
    yield told.finished()


async def _steps(pieces: AsyncIterator[str]) -> AsyncGenerator[Progress, None]:
    async for piece in pieces:
        step = wire.decoded(piece, _Step)
        if step.error is not None:
            raise from_failure(step.error)
        if step.object == "model.pull.progress":
            yield Progress(step.phase, step.done_bytes, step.total_bytes)


class _Drawn(Struct):
    """An event of a picture's stream."""

    type: str = ""
    b64_json: str = ""
    size: str = ""
    partial_image_index: int | None = None
    seed: int | None = None
    error: wire.Failure | None = None


async def _drawn(pieces: AsyncIterator[bytes], count: object) -> AsyncGenerator[Progress | Picture, None]:
    """Up to `count` whole pictures. Progress comes in comments, which other clients pass by; so this is no reader of
    events alone."""
    read, whole_ones = bytearray(), 0
    async for piece in pieces:
        read += piece
        *whole, rest = read.split(b"\n\n")
        read = rest
        for event in whole:
            if done := STEPS.fullmatch(event):
                yield Progress("painting", int(done[1]), int(done[2]))
            elif (begin := event.find(DATA)) >= 0:
                told = wire.decoded(bytes(event[begin + len(DATA) :]), _Drawn)
                if told.error is not None:
                    raise from_failure(told.error)
                try:
                    data = binascii.a2b_base64(told.b64_json)
                except binascii.Error:
                    raise MeshError(
                        Reason.UPSTREAM_MALFORMED, "The answer has a picture that is no base64."
                    ) from None
                yield Picture(data, told.size, told.partial_image_index, told.seed)
                whole_ones += told.type.endswith(".completed")
                if whole_ones == count:
                    return
    raise _cut()


def _path(request: Request) -> str:
    return spec_of(request.operation).path.removeprefix("/")


def _body(request: Request) -> dict[str, object]:
    return {**request.body, "model": request.model}


def _headers(request: Request) -> dict[str, str]:
    options = request.options
    if options.on_behalf_of:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "A key's requests are its own tenant's: on_behalf_of is for members of the mesh that act for tenants.",
            metadata={"param": "on_behalf_of"},
        )
    told = {"x-nexus-zone": options.zone, "x-nexus-priority": options.priority}
    return {name: value for name, value in told.items() if value and value != "normal"}


def _served(response: httpx2.Response) -> Served | None:
    """None while nobody has: the request still waits for a place."""
    told = {name.removeprefix("x-nexus-"): unquote(value) for name, value in response.headers.items()}
    if "backend" not in told:
        return None
    return Served(
        told.get("model", ""),
        told["backend"],
        told.get("instance", ""),
        told.get("backend-type", ""),
        told.get("privacy-zone", ""),
        int(told.get("attempts", "1")),
        told.get("route-reason", ""),
        told.get("fallback-model", ""),
        told.get("dropped-tier", ""),
        int(told["scrubbed"]) if "scrubbed" in told else None,
        float(told["cost-estimated"]) if "cost-estimated" in told else None,
    )


def _late() -> MeshError:
    return MeshError(
        Reason.TIMEOUT, "The time allowed for the request is over; Options(timeout=...) sets it."
    )


def _cut() -> MeshError:
    return MeshError(Reason.BACKEND_LOST, "The stream was cut: what came of the answer is not whole.")
