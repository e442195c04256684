"""The same for programs without asyncio: the async client in a thread of its own, so nothing is there twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from nexus_mesh.core import MeshError, Reason

from nexus_client.client import LIST_SECONDS, MANAGE_SECONDS, USUAL, AsyncClient
from nexus_client.types import (
    Answer,
    Count,
    Embeddings,
    Event,
    Explanation,
    Messages,
    Model,
    ModelState,
    Options,
    Progress,
)

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """AsyncClient, blocking: open inside `with`. Its methods may be called from several threads."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._opened: BlockingPortal | None = None
        self._stack = ExitStack()

    @classmethod
    def by_key(cls, url: str, key: str = "") -> Self:
        """See AsyncClient."""
        return cls(AsyncClient.by_key(url, key))

    @classmethod
    def by_identity(cls, address: str, folder: Path | str, *, vault: str = "") -> Self:
        """See AsyncClient."""
        return cls(AsyncClient.by_identity(address, folder, vault=vault))

    @classmethod
    def by_token(cls, address: str, token: str, folder: Path | str) -> Self:
        """See AsyncClient."""
        return cls(AsyncClient.by_token(address, token, folder))

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            portal = opening.enter_context(start_blocking_portal(name="nexus-client"))
            opening.enter_context(portal.wrap_async_context_manager(self._client))
            self._stack, self._opened = opening.pop_all(), portal
        return self

    def __exit__(self, *_: object) -> None:
        self._opened = None
        self._stack.close()

    def complete(self, model: str, messages: Messages, options: Options = USUAL) -> Answer:
        """The whole answer to a chat."""
        return self._portal.call(self._client.complete, model, messages, options)

    @contextmanager
    def stream(
        self, model: str, messages: Messages, options: Options = USUAL
    ) -> Generator[Iterator[Event], None, None]:
        """`with client.stream(...) as events: for event in events`. See AsyncClient."""
        with self._iterated(self._client.stream(model, messages, options)) as events:
            yield events

    def embed(self, model: str, texts: str | Sequence[str], options: Options = USUAL) -> Embeddings:
        """One vector for each text."""
        return self._portal.call(self._client.embed, model, texts, options)

    @contextmanager
    def speak(
        self, model: str, text: str, voice: str, options: Options = USUAL
    ) -> Generator[Iterator[bytes], None, None]:
        """`with client.speak(...) as pieces: for piece in pieces`. See AsyncClient."""
        with self._iterated(self._client.speak(model, text, voice, options)) as pieces:
            yield pieces

    def count(self, model: str, messages: Messages, options: Options = USUAL) -> Count:
        """Tokens of a chat's prompt, without running it."""
        return self._portal.call(self._client.count, model, messages, options)

    def explain(self, model: str, messages: Messages, options: Options = USUAL) -> Explanation:
        """Where a chat would go, and why not elsewhere. By key only."""
        return self._portal.call(self._client.explain, model, messages, options)

    def models(self, *, timeout: float = LIST_SECONDS) -> tuple[Model, ...]:
        """All models that the key may ask. By key only."""
        return self._portal.call(partial(self._client.models, timeout=timeout))

    def load(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Loads a model into memory. By a key made with --manage."""
        return self._portal.call(partial(self._client.load, model, backend=backend, timeout=timeout))

    def unload(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Takes a model out of memory. By a key made with --manage."""
        return self._portal.call(partial(self._client.unload, model, backend=backend, timeout=timeout))

    def delete(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Removes a model from its backend's disk. By a key made with --manage."""
        return self._portal.call(partial(self._client.delete, model, backend=backend, timeout=timeout))

    @contextmanager
    def pull(
        self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS
    ) -> Generator[Iterator[Progress], None, None]:
        """Downloads a model: `with client.pull(...) as steps: for step in steps`. See AsyncClient."""
        with self._iterated(self._client.pull(model, backend=backend, timeout=timeout)) as steps:
            yield steps

    @property
    def _portal(self) -> BlockingPortal:
        if self._opened is None:
            raise MeshError(Reason.NOT_READY, "The client is not open: use it in a `with` block.")
        return self._opened

    @contextmanager
    def _iterated(
        self, opened: AbstractAsyncContextManager[AsyncGenerator[T, None]]
    ) -> Generator[Iterator[T], None, None]:
        portal = self._portal
        with portal.wrap_async_context_manager(opened) as items:
            yield _each(portal, items)


def _each(portal: BlockingPortal, items: AsyncGenerator[T, None]) -> Iterator[T]:
    while True:
        try:
            item = portal.call(anext, items)
        except StopAsyncIteration:
            return
        yield item
