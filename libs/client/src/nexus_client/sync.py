"""The same for programs without asyncio: the async client in a thread of its own, so nothing is there twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Generic, Self, TypeVar, TypeVarTuple, Unpack

from anyio.from_thread import BlockingPortal, start_blocking_portal
from nexus_mesh.core import MeshError, Reason

from nexus_client import types
from nexus_client.client import LIST_SECONDS, MANAGE_SECONDS, USUAL, AsyncClient
from nexus_client.types import (
    Answer,
    Count,
    Embeddings,
    Explanation,
    Messages,
    Model,
    ModelState,
    Options,
    Picture,
    Progress,
)

__all__ = ["Client"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


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
        return self._asked(self._client.complete, model, messages, options)

    @contextmanager
    def stream(
        self, model: str, messages: Messages, options: Options = USUAL
    ) -> Generator[Iterator[types.Event], None, None]:
        """`with client.stream(...) as events: for event in events`. See AsyncClient."""
        with self._iterated(self._client.stream(model, messages, options)) as events:
            yield events

    def embed(self, model: str, texts: str | Sequence[str], options: Options = USUAL) -> Embeddings:
        """One vector for each text."""
        return self._asked(self._client.embed, model, texts, options)

    @contextmanager
    def speak(
        self, model: str, text: str, voice: str, options: Options = USUAL
    ) -> Generator[Iterator[bytes], None, None]:
        """`with client.speak(...) as pieces: for piece in pieces`. See AsyncClient."""
        with self._iterated(self._client.speak(model, text, voice, options)) as pieces:
            yield pieces

    @contextmanager
    def draw(
        self,
        model: str,
        prompt: str,
        options: Options = USUAL,
        *,
        pictures: Sequence[bytes] = (),
        mask: bytes | None = None,
    ) -> Generator[Iterator[Progress | Picture], None, None]:
        """`with client.draw(...) as steps: for step in steps`. See AsyncClient."""
        drawing = self._client.draw(model, prompt, options, pictures=pictures, mask=mask)
        with self._iterated(drawing) as steps:
            yield steps

    def count(self, model: str, messages: Messages, options: Options = USUAL) -> Count:
        """Tokens of a chat's prompt, without running it."""
        return self._asked(self._client.count, model, messages, options)

    def explain(self, model: str, messages: Messages, options: Options = USUAL) -> Explanation:
        """Where a chat would go, and why not elsewhere. By key only."""
        return self._asked(self._client.explain, model, messages, options)

    def models(self, *, timeout: float = LIST_SECONDS) -> tuple[Model, ...]:
        """All models that the key may ask. By key only."""
        return self._asked(partial(self._client.models, timeout=timeout))

    def load(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Loads a model into memory. By a key made with --manage."""
        return self._asked(partial(self._client.load, model, backend=backend, timeout=timeout))

    def unload(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Takes a model out of memory. By a key made with --manage."""
        return self._asked(partial(self._client.unload, model, backend=backend, timeout=timeout))

    def delete(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Removes a model from its backend's disk. By a key made with --manage."""
        return self._asked(partial(self._client.delete, model, backend=backend, timeout=timeout))

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

    def _asked(self, call: Callable[[Unpack[Arguments]], Awaitable[T]], *arguments: *Arguments) -> T:
        return _Work(lambda: call(*arguments)).result(self._portal)

    @contextmanager
    def _iterated(
        self, opened: AbstractAsyncContextManager[AsyncGenerator[T, None]]
    ) -> Generator[Iterator[T], None, None]:
        """Whatever the block ends by, an interrupt too, is no exception of the loop's thread, which serves others."""
        portal, entered = self._portal, Future[tuple[AsyncGenerator[T, None], asyncio.Event]]()

        async def hold() -> None:
            """One task enters and leaves: timeouts within demand that."""
            try:
                async with opened as items:
                    left = asyncio.Event()
                    entered.set_result((items, left))
                    await left.wait()
            except Exception as error:
                if entered.done():
                    raise
                entered.set_exception(error)

        work = _Work(hold)
        with work.given_up_if_interrupted(portal):
            holding = portal.start_task_soon(work.run)
            items, left = entered.result()
        try:
            yield _each(portal, items)
        finally:
            portal.call(left.set)
            holding.result()


def _each(portal: BlockingPortal, items: AsyncGenerator[T, None]) -> Iterator[T]:
    while True:
        try:
            item = _Work(items.__anext__).result(portal)
        except StopAsyncIteration:
            return
        yield item


class _Work(Generic[T]):
    """A call in the portal that has ended when its caller goes on, also one who is interrupted, wherever that is."""

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self._call = call
        self._task: asyncio.Task[object] | None = None
        self._is_given_up = False
        self._ended = Event()

    def result(self, portal: BlockingPortal) -> T:
        with self.given_up_if_interrupted(portal):
            return portal.start_task_soon(self.run).result()

    @contextmanager
    def given_up_if_interrupted(self, portal: BlockingPortal) -> Generator[None, None, None]:
        try:
            yield
        except Exception:
            raise
        except BaseException:
            if portal.call(self._give_up):
                self._ended.wait()
            raise

    async def run(self) -> T:
        if self._is_given_up:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await self._call()
        finally:
            self._ended.set()

    def _give_up(self) -> bool:
        """Whether there is an end to wait for."""
        self._is_given_up = True
        return self._task is not None and self._task.cancel()
