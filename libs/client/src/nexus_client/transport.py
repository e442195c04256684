"""What a way to a gateway can do, and what is said where it can't."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_client.types import (
    Answer,
    Count,
    Embeddings,
    Event,
    Explanation,
    Model,
    ModelState,
    Options,
    Picture,
    Progress,
)

__all__ = ["Action", "Request", "Transport"]

Action = Literal["load", "unload", "delete"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `body`: the OpenAI object, without what only says how to answer."""

    operation: model_pb2.Operation
    model: str
    body: Mapping[str, object]
    options: Options


class Transport(ABC):
    """One way to one gateway. All raise MeshError."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def complete(self, request: Request) -> Answer: ...

    @abstractmethod
    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncGenerator[Event, None]]: ...

    @abstractmethod
    async def embed(self, request: Request) -> Embeddings: ...

    @abstractmethod
    async def count(self, request: Request) -> Count: ...

    def speak(self, request: Request) -> AbstractAsyncContextManager[AsyncGenerator[bytes, None]]:
        raise _closed("speak", request.options.timeout)

    def draw(self, request: Request) -> AbstractAsyncContextManager[AsyncGenerator[Progress | Picture, None]]:
        raise _closed("draw", request.options.timeout)

    async def explain(self, request: Request) -> Explanation:
        raise _closed("explain where a request would go", request.options.timeout)

    async def models(self, timeout: float) -> tuple[Model, ...]:
        raise _closed("list models", timeout)

    async def manage(self, action: Action, model: str, backend: str, timeout: float) -> ModelState:
        raise _closed(f"{action} models", model, backend, timeout)

    def pull(
        self, model: str, backend: str, timeout: float
    ) -> AbstractAsyncContextManager[AsyncGenerator[Progress, None]]:
        raise _closed("pull models", model, backend, timeout)


def _closed(what: str, *_: object) -> MeshError:
    """A certificate of role client opens the gateway's InferenceService and nothing else."""
    return MeshError(
        Reason.MESH_POLICY,
        f"Over the mesh a client may complete, stream, embed and count, and not {what}. Connect with an API key "
        "for that: Client.by_key(URL, KEY); `nexus keys create NAME` makes one; with --manage it may manage models.",
    )
