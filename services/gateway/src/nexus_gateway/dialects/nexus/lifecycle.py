"""POST models/{id}/load, models/{id}/unload, models/pull and DELETE models/{id}."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus.lifecycle.v1 import lifecycle_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason

from nexus_gateway.access import Principal
from nexus_gateway.dialects.errors import error_object, unknown_url
from nexus_gateway.http import DONE, EdgeOptions, Exchange, Failure, beat, check_media_type
from nexus_gateway.validation import decode_object

__all__ = ["LifecycleRoutes", "Lifecycles", "ManagedModel", "PullRequest"]

PULL = "pull"
ACTIONS = {"load": "loaded", "unload": "unloaded"}
"""The last part of the path, and what the model is then."""


class Done(Protocol):
    """What was done to which model, where."""

    @property
    def model(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def size(self) -> int: ...


class Lifecycle(Protocol):
    """Whoever does it. It checks who asks."""

    async def do(self, what: str, principal: Principal, model: str, backend: str) -> Done: ...

    def pull(
        self, principal: Principal, model: str, backend: str
    ) -> tuple[Done, AsyncGenerator[lifecycle_pb2.PullProgress, None]]: ...


class ManagedModel(Struct):
    """A model after something was done to it. `memory_bytes` where that is known."""

    id: str
    backend: str
    instance: str
    object: str = "model"
    memory_bytes: int | UnsetType = UNSET
    state: str | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET


class PullRequest(Struct):
    """`backend` where several could."""

    model: str
    backend: str = ""


class Lifecycles(Protocol):
    """The part of the pipeline these routes use."""

    @property
    def lifecycle(self) -> Lifecycle: ...


class LifecycleRoutes:
    """A model's id may hold slashes, so one URL has them all and its end tells what is wanted."""

    def __init__(self, pipeline: Lifecycles, options: EdgeOptions) -> None:
        self._lifecycle = pipeline.lifecycle
        self._keep_alive_seconds = options.keep_alive_comment_seconds

    async def act(self, exchange: Exchange) -> None:
        path: str = exchange.scope["path_params"]["model_id"]
        if path == PULL:
            await self._pull(exchange)
            return
        model, _, action = path.rpartition("/")
        if action not in ACTIONS or not model:
            raise unknown_url()
        await exchange.body()  # says nothing, but only a body that was read lets a client be seen to leave
        done = await self._lifecycle.do(action, exchange.caller, model, _backend(exchange))
        await exchange.respond(200, _encode(_managed(done, state=ACTIONS[action])))

    async def delete(self, exchange: Exchange) -> None:
        model = exchange.scope["path_params"]["model_id"]
        if not model:
            raise unknown_url()
        await exchange.body()
        done = await self._lifecycle.do("delete", exchange.caller, model, _backend(exchange))
        await exchange.respond(200, _encode(_managed(done, deleted=True)))

    async def _pull(self, exchange: Exchange) -> None:
        """The head waits for the first sign of life, so what fails at once is a true status."""
        check_media_type(exchange.fields)
        model, backend = _wanted(await exchange.body())
        done, steps = self._lifecycle.pull(exchange.caller, model, backend)
        async with aclosing(steps) as events:
            first = await anext(events, None)
            await exchange.start_events([], _failure)
            heart = asyncio.create_task(beat(exchange, self._keep_alive_seconds), name="sse keep-alive")
            try:
                if first is not None:
                    await exchange.write(_progress(done, first))
                async for step in events:
                    await exchange.write(_progress(done, step))
            finally:
                heart.cancel()
        await exchange.end(_event({**_told(done), "object": "model.pull.done"}) + DONE)


def _backend(exchange: Exchange) -> str:
    """`backend` of the query."""
    given = parse_qs(exchange.scope["query_string"].decode("latin-1")).get("backend", [""])
    if len(given) > 1:
        raise MeshError(Reason.INVALID_REQUEST, "Name one backend.", metadata={"param": "backend"})
    return given[0]


def _wanted(body: bytes | bytearray) -> tuple[str, str]:
    given = decode_object(body)
    for name in ("model", "backend"):
        if not isinstance(given.get(name, ""), str):
            raise MeshError(Reason.INVALID_REQUEST, f"'{name}' must be a string.", metadata={"param": name})
    if unknown := sorted(given.keys() - {"model", "backend"}):
        message = f"A pull takes 'model' and 'backend', and not {unknown[0][:64]!r}."
        raise MeshError(Reason.INVALID_REQUEST, message, metadata={"param": unknown[0][:64]})
    if not given.get("model"):
        raise MeshError(
            Reason.INVALID_REQUEST, "Say which model to pull, as 'model'.", metadata={"param": "model"}
        )
    return given["model"], given.get("backend", "")


def _managed(
    done: Done, *, state: str | UnsetType = UNSET, deleted: bool | UnsetType = UNSET
) -> ManagedModel:
    return ManagedModel(
        done.model,
        done.backend,
        done.instance,
        memory_bytes=done.size or UNSET,
        state=state,
        deleted=deleted,
    )


def _told(done: Done) -> JsonObject:
    return msgspec.to_builtins(_managed(done))


def _progress(done: Done, step: lifecycle_pb2.PullProgress) -> bytes:
    return _event(
        {
            **_told(done),
            "object": "model.pull.progress",
            "phase": step.phase,
            "done_bytes": step.done_bytes,
            "total_bytes": step.total_bytes,
        }
    )


def _failure(error: Failure) -> bytes:
    """The event a pull ends with that did not succeed; no [DONE] after it."""
    return _event({"object": "model.pull.error", "error": error_object(error, mid_stream=True)})


def _event(value: JsonObject) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


_encode = msgspec.json.encode
