"""The members of the cluster and the one connection in use: dialling, failover, replacement.

Everything a client does goes over one connection. Who finds it broken reports it with `fail`; the next user
dials the next member, so all calls and streams move together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc
import grpc.aio
from nexus_mesh.core import Backoff, telemetry

from nexus_registry.etcd.connection import Connection
from nexus_registry.etcd.errors import ClientClosedError, UnavailableError

Request = TypeVar("Request")
Response = TypeVar("Response")
Credentials = Callable[[], grpc.ChannelCredentials | None]

CONNECT_SECONDS = 2.0
READ_ATTEMPTS = 3
REFUSED_HINT = "it is down, or refuses the certificate: a failed TLS handshake looks like a dead server"

PAUSES = (0.05, 2.0)
"""Seconds, shortest and longest, between attempts to reach etcd."""

log = telemetry.logger("etcd")


class Cluster:
    """`credentials` is asked for each new channel; None means plain text. It must not block or raise.

    `server_name` is what the members' certificates must carry, if that is not the name they are dialled by.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials,
        deadline: float,
        server_name: str | None = None,
    ) -> None:
        if not endpoints:
            raise ValueError("No etcd endpoint was given: name at least one as host:port.")
        self._endpoints = tuple(endpoints)
        self._credentials = credentials
        self._server_name = server_name
        self._deadline = deadline
        self._position = 0
        self._current: Connection | None = None
        self._dialling = asyncio.Lock()
        self._unreachable: set[str] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def connection(self) -> Connection:
        """The connection in use, or a new one. Raises UnavailableError once every member has been tried."""
        if self._current is not None and self._current.usable:
            return self._current
        async with self._dialling:
            if self._closed:
                raise ClientClosedError
            if self._current is None or not self._current.usable:
                self._leave(self._current)
                self._current = None
                self._current = await self._dial()
            return self._current

    async def call(
        self,
        method: Callable[[Connection], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        attempts: int = 1,
    ) -> Response:
        """One unary call, `attempts` times while members are unavailable. Only reads may be tried twice."""
        backoff = Backoff(*PAUSES)
        while True:
            try:
                connection = await self.connection()
                return await self.call_on(connection, method(connection), request)
            except UnavailableError:
                attempts -= 1
                if attempts <= 0:
                    raise
                await backoff.wait()

    async def call_on(
        self,
        connection: Connection,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
    ) -> Response:
        """One unary call over this very connection, which is given up if there is no answer."""
        try:
            return await connection.call(method, request, self._deadline)
        except UnavailableError:
            self.fail(connection)
            raise

    def fail(self, connection: Connection) -> None:
        """Give the connection up and turn to the next member, unless that has been done already."""
        if connection is self._current:
            self._current = None
            self._position += 1
            self._leave(connection)

    async def refresh(self) -> None:
        """Replace the connection, for new credentials: streams move, unary calls in flight finish.

        Raises UnavailableError, and keeps the old connection, if no member accepts the new credentials.
        """
        async with self._dialling:
            if self._closed:
                raise ClientClosedError
            replacement = await self._dial()
            self._leave(self._current)
            self._current = replacement

    async def close(self) -> None:
        """End the streams at once and unary calls in flight within their deadline. Safe to call twice."""
        self._closed = True
        async with self._dialling:
            self._leave(self._current)
            self._current = None
        await asyncio.gather(*self._leaving)

    async def _dial(self) -> Connection:
        for _ in self._endpoints:
            endpoint = self._endpoints[self._position % len(self._endpoints)]
            connection = Connection(endpoint, self._credentials(), self._server_name)
            try:
                if await connection.ready(CONNECT_SECONDS):
                    self._unreachable.discard(endpoint)
                    return connection
            except asyncio.CancelledError:
                self._leave(connection)
                raise
            self._leave(connection)
            self._report_unreachable(endpoint)
            self._position += 1
        raise UnavailableError(f"No etcd member of {self._endpoints} can be reached: {REFUSED_HINT}.")

    def _report_unreachable(self, endpoint: str) -> None:
        if endpoint not in self._unreachable:
            self._unreachable.add(endpoint)
            log.warning("etcd member cannot be reached", endpoint=endpoint, hint=REFUSED_HINT)

    def _leave(self, connection: Connection | None) -> None:
        if connection is None:
            return
        connection.retire()
        task = asyncio.get_running_loop().create_task(connection.close(grace=self._deadline + 1))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
