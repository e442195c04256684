"""Calls whose request is sent in pieces and answered once, by the library's blocking client.

That for asyncio loses why a call was refused while it was writing (grpc/grpc#36066).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Generic

import grpc

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.channels import Metadata, Method, Req, Res
from nexus_mesh.rpc.status import from_rpc_error

__all__ = ["Sending"]


class Sending:
    """On a connection of its own, made by the first call."""

    def __init__(self, opening: Callable[[], grpc.Channel]) -> None:
        self._opening = opening
        self._channel: grpc.Channel | None = None

    async def call(
        self,
        method: Method[Req, Res],
        messages: AsyncIterator[Req],
        timeout: float | None,
        metadata: Metadata,
    ) -> Res:
        """Takes messages as fast as they can be sent. What these raise is raised, and the call then half-closed."""
        if self._channel is None:
            self._channel = self._opening()
        opening: Any = self._channel.stream_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        loop = asyncio.get_running_loop()
        pulled, ended = _Pulled(messages, loop), asyncio.Event()
        call = opening.future(iter(pulled), timeout=timeout, metadata=metadata)
        call.add_done_callback(partial(_tell, loop, ended))
        try:
            await ended.wait()
        finally:
            call.cancel()
            pulled.stop()
        if pulled.fault is not None:
            raise pulled.fault
        try:
            return call.result()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None  # pyright: ignore[reportArgumentType]
        except grpc.FutureCancelledError:
            raise MeshError(
                Reason.BACKEND_LOST, "The connection was closed.", metadata={"transport": "1"}
            ) from None

    async def close(self) -> None:
        if self._channel is not None:
            await asyncio.to_thread(self._channel.close)


class _Pulled(Generic[Req]):
    """Messages of the loop's, for a thread of the library's: it waits for each."""

    def __init__(self, messages: AsyncIterator[Req], loop: asyncio.AbstractEventLoop) -> None:
        self.fault: BaseException | None = None
        self._messages = messages
        self._loop = loop
        self._waiting: concurrent.futures.Future[Req | None] | None = None
        self._stopped = False

    def __iter__(self) -> Iterator[Req]:
        while not self._stopped:
            try:
                self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
                message = self._waiting.result()
            except concurrent.futures.CancelledError:
                return
            except BaseException as fault:  # the caller's, who raises it
                self.fault = fault
                return
            if message is None:
                return
            yield message

    async def _next(self) -> Req | None:
        return await anext(self._messages, None)

    def stop(self) -> None:
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event, _: object) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(ended.set)
