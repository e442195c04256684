"""The client of asyncio programs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Self

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_client.http import HttpTransport
from nexus_client.mesh import MeshTransport
from nexus_client.transport import Request, Transport
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
    Picture,
    Progress,
)

__all__ = ["MANAGE_SECONDS", "AsyncClient"]

USUAL = Options()
LIST_SECONDS = 10.0
MANAGE_SECONDS = 600.0


class AsyncClient:
    """A connection to one gateway, open inside `async with`. Everything raises MeshError: a reason for programs, a
    message for people. Cancelling what waits for an answer, and leaving a stream, stops the backend.

    Make one with `by_key`, `by_identity` or `by_token`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def by_key(cls, url: str, key: str = "") -> Self:
        """Over HTTP. `url`: the gateway's, as http://127.0.0.1:8080; an endpoint open to its machine needs no `key`."""
        return cls(HttpTransport(url, key))

    @classmethod
    def by_identity(cls, address: str, folder: Path | str, *, vault: str = "") -> Self:
        """Over gRPC under mutual TLS. `address`: host:port of the gateway's door to the mesh. `folder`: with
        identity.pem and bundle.pem, as a join leaves them. `vault`: host:port of who renews; by default as at the join.
        """
        return cls(MeshTransport(address, Path(folder), vault=vault))

    @classmethod
    def by_token(cls, address: str, token: str, folder: Path | str) -> Self:
        """The same, joining the mesh by a token first unless `folder` has an identity already."""
        return cls(MeshTransport(address, Path(folder), token=token.strip()))

    async def __aenter__(self) -> Self:
        try:
            await self._transport.open()
        except BaseException:
            await self._transport.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    async def complete(self, model: str, messages: Messages, options: Options = USUAL) -> Answer:
        """The whole answer to a chat."""
        return await self._transport.complete(_chat(model, messages, options))

    def stream(
        self, model: str, messages: Messages, options: Options = USUAL
    ) -> AbstractAsyncContextManager[AsyncGenerator[Event, None]]:
        """`async with client.stream(...) as events: async for event in events`. The last event is Finished; an answer
        that was cut raises instead.
        """
        return self._transport.stream(_chat(model, messages, options))

    async def embed(self, model: str, texts: str | Sequence[str], options: Options = USUAL) -> Embeddings:
        """One vector for each text."""
        given = [texts] if isinstance(texts, str) else list(texts)
        body = {**options.parameters, "input": given}
        return await self._transport.embed(Request(model_pb2.OPERATION_EMBEDDING, model, body, options))

    def speak(
        self, model: str, text: str, voice: str, options: Options = USUAL
    ) -> AbstractAsyncContextManager[AsyncGenerator[bytes, None]]:
        """`async with client.speak(...) as pieces: async for piece in pieces`: the sound of a text as it is made. One
        that was cut raises instead of ending. `response_format` and `speed` are parameters of `options`. By key only.
        """
        body = {**options.parameters, "input": text, "voice": voice}
        return self._transport.speak(Request(model_pb2.OPERATION_SPEECH, model, body, options))

    def draw(
        self,
        model: str,
        prompt: str,
        options: Options = USUAL,
        *,
        pictures: Sequence[bytes] = (),
        mask: bytes | None = None,
    ) -> AbstractAsyncContextManager[AsyncGenerator[Progress | Picture, None]]:
        """`async with client.draw(...) as steps: async for step in steps`: how far a picture is, and at last the
        picture; one that was cut raises instead. `size`, `seed` and `partial_images` are parameters of `options`.
        By key only.

        `pictures`: files of those that it is to be made of; with a `mask`, the file of one, what is transparent there
        is all that changes.
        """
        body = {**options.parameters, "prompt": prompt}
        if mask is not None and not pictures:
            raise MeshError(
                Reason.INVALID_REQUEST,
                "A mask says what changes of a picture: give pictures too.",
                metadata={"param": "mask"},
            )
        if not pictures:
            return self._transport.draw(Request(model_pb2.OPERATION_IMAGE, model, body, options))
        body["images"] = [_reference(each) for each in pictures]
        if mask is not None:
            body["mask"] = _reference(mask)
        return self._transport.draw(Request(model_pb2.OPERATION_IMAGE_EDIT, model, body, options))

    async def count(self, model: str, messages: Messages, options: Options = USUAL) -> Count:
        """Tokens of a chat's prompt, without running it."""
        return await self._transport.count(_chat(model, messages, options))

    async def explain(self, model: str, messages: Messages, options: Options = USUAL) -> Explanation:
        """Where a chat would go, and why not elsewhere. By key only."""
        return await self._transport.explain(_chat(model, messages, options))

    async def models(self, *, timeout: float = LIST_SECONDS) -> tuple[Model, ...]:
        """All models that the key may ask. By key only."""
        return await self._transport.models(timeout)

    async def load(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Loads a model into memory. By a key made with --manage."""
        return await self._transport.manage("load", model, backend, timeout)

    async def unload(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Takes a model out of memory. By a key made with --manage."""
        return await self._transport.manage("unload", model, backend, timeout)

    async def delete(self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS) -> ModelState:
        """Removes a model from its backend's disk. By a key made with --manage."""
        return await self._transport.manage("delete", model, backend, timeout)

    def pull(
        self, model: str, *, backend: str = "", timeout: float = MANAGE_SECONDS
    ) -> AbstractAsyncContextManager[AsyncGenerator[Progress, None]]:
        """Downloads a model: `async with client.pull(...) as steps: async for step in steps`. By a key made with
        --manage. The iteration ends when the model is there, and raises otherwise.
        """
        return self._transport.pull(model, backend, timeout)


def _chat(model: str, messages: Messages, options: Options) -> Request:
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return Request(model_pb2.OPERATION_CHAT, model, {**options.parameters, "messages": given}, options)


def _reference(file: bytes) -> dict[str, str]:
    return {"image_url": f"data:application/octet-stream;base64,{b64encode(file).decode()}"}
