"""uvicorn inside the service's own loop: no signals, no process of its own, a port known before it returns."""

from __future__ import annotations

import asyncio
import math
import resource
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from nexus_gateway.http.connections import SPARE, Acceptor, Slots
from nexus_gateway.http.options import Limits
from nexus_gateway.http.protocol import EdgeProtocol
from nexus_gateway.http.status import SayError

BACKLOG = 65_535
"""The system takes less: who finds no room in it comes again a second later only."""
START_SECONDS = 10
KEPT_DESCRIPTORS = 256
"""For everything but the clients."""
MIN_SLOTS = 64
LAST_WORDS_SECONDS = 2
"""For streams that were cut at the end of the grace to write their error event."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the service."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens its own way."""
        await super().startup([])
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        rest = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        self.servers = cast(Any, [Acceptor(sock, partial(make, **rest)) for sock in sockets or ()])


class HttpServer:
    """A listening edge. `port` is the bound one."""

    def __init__(self, server: _Server, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task
        self.host, self.port = sock.getsockname()[:2]

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._server.server_state.connections)

    async def close(self, grace: float = 30) -> None:
        """Stops accepting, lets requests finish for `grace` seconds, at least 1, then cuts them with a clear error."""
        self._server.config.timeout_graceful_shutdown = max(1, math.ceil(grace))
        self._server.should_exit = True
        await self._task
        state = self._server.server_state
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=LAST_WORDS_SECONDS)
        for connection in list(state.connections):
            connection.transport.close()


async def serve_http(
    app: ASGIApp,
    say_error: SayError,
    host: str,
    port: int,
    limits: Limits | None = None,
    sockets: Collection[str] = (),
) -> HttpServer:
    """Serves `app` on host:port (0 = any free port) until `close()`. OSError when the address is taken.

    `say_error`: how who sent no request that could be read is told. `sockets`: paths that may become WebSockets.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    server = _Server(_config(app, say_error, limits or Limits(), sockets))
    task = asyncio.create_task(server.serve(sockets=[sock]), name="http edge")
    async with asyncio.timeout(START_SECONDS):
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.001)
    if task.done():
        await task
    return HttpServer(server, sock, task)


def _slots(limits: Limits) -> Slots:
    """No more connections than there are descriptors for: one that cannot be accepted cannot be told so either."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors != resource.RLIM_INFINITY:
        most = max(MIN_SLOTS, int((descriptors - KEPT_DESCRIPTORS) / (1 + SPARE)))
        limits = replace(limits, connections=min(limits.connections, most))
    return Slots(limits.connections, limits.address_share)


def _config(app: ASGIApp, say_error: SayError, limits: Limits, sockets: Collection[str]) -> uvicorn.Config:
    protocol = partial(
        EdgeProtocol, limits=limits, slots=_slots(limits), say_error=say_error, sockets=frozenset(sockets)
    )
    return uvicorn.Config(
        cast(Any, app),
        http=cast(Any, protocol),
        ws="none",  # loaded when somebody asks for one
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
