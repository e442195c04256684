"""uvicorn's httptools protocol with what the edge must add: limits, receive deadlines, envelopes for bad HTTP, and
the end of a request's work as soon as its client is gone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from enum import Enum, auto
from functools import partial
from typing import cast

import httptools
from nexus_mesh.core import JsonObject
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nexus_gateway.http.connections import EVICTED, REFUSED, Idle, Slots
from nexus_gateway.http.endpoint import CLIENT_LEFT, CUT, SLASHES
from nexus_gateway.http.heads import body_too_large, check_head, is_form, not_upgraded
from nexus_gateway.http.options import Limits
from nexus_gateway.http.refusal import explain, refusal_bytes
from nexus_gateway.http.status import EdgeError, Header, SayError

LINGER_SECONDS = 2
"""After a refusal input is thrown away for so long: closing at once would reset the connection, and the client
might lose the answer."""
BODY_CHECK_SECONDS = 5
MAX_PIPELINED = 8
MAX_AHEAD_BYTES = 16 * 1024
"""Of bodies of requests sent ahead: nobody has asked for them yet, nor whose they are."""


class Phase(Enum):
    """What the connection is receiving; also what its one timer stands for."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class _Door:
    """A transport as an answer sees it: closing it leaves the client time to read."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: JsonObject,
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
        slots: Slots,
        say_error: SayError,
        sockets: Collection[str] = (),
    ) -> None:
        """`sockets`: paths that may be asked to become WebSockets."""
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._slots = slots
        self._idle: Idle = OrderedDict()
        self._say_error = say_error
        self._address = ""
        self._phase = Phase.IDLE
        self._timer: asyncio.TimerHandle | None = None
        self._timed = Phase.IDLE
        self._stall: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_fields = 0
        self._body_bytes = 0
        self._most = limits.body_bytes
        """Bytes of the body that is being received, at most."""
        self._body_since = 0.0
        self._ahead_bytes = 0
        self._new = False
        """Whether a head was read whole just now."""
        self._deaf = False
        """Whether all that is said to the client is said, and what it still sends is thrown away."""
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None
        self._refusal: EdgeError | None = None
        self._sockets = sockets
        self._upgrades = False
        """Whether the head that was read last asks for a WebSocket that there is."""

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        idle = self._slots.enter(self._address, self)
        if self._slots.crowded:
            self.transport.abort()
        elif idle is None:
            self._refuse(EdgeError("overloaded", "This gateway has too many connections. Come back later."))
        else:
            self._idle = idle
            self._arm(Phase.HEAD, self._limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unstall()
        self._abandon()
        self._slots.leave(self._address, self)
        super().connection_lost(exc)

    def evict(self) -> None:
        """Idle for longer than all others, and there are too many."""
        EVICTED.inc()
        self._idle = OrderedDict()
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self._limits.stalled_client_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unstall()

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._refusal is not None or self.parser is None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrades and upgrade.args[0] == len(data):
                self._become_socket()
            else:
                self._refuse(not_upgraded())
        except httptools.HttpParserError as error:
            self._refuse(explain(error, data))
        else:
            self._set_deadline(len(data))
            # The base class stops reading when it has enough to do; a connection that is not read cannot be seen
            # to close. So reading stops only while a body waits to be taken, and what is queued is bounded.
            if self._phase is not Phase.BODY or self.pipeline:
                self.flow.resume_reading()
            elif self._new:
                self.flow.pause_reading()  # until somebody asks for the body: first it is asked who sends it
            self._new = False

    # The parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = Phase.HEAD
        self._head_bytes = self._head_fields = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            raise EdgeError("uri_too_long", f"The URL is longer than {self._limits.url_bytes} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_fields += 1
        self._head_bytes += len(name) + len(value)
        if self._head_fields > self._limits.header_fields or self._head_bytes > self._limits.header_bytes:
            raise self._headers_too_large()
        if self._phase is Phase.HEAD:  # what comes after the body is a trailer: counted, never believed
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser is not None:
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self._most = self._limits.upload_bytes if _has_form(self.headers) else self._limits.body_bytes
            self._upgrades = method == b"GET" and version == "1.1" and self._names_socket()
            check_head(method, self.url, version, self.headers, self._most, upgrades=self._upgrades)
        self._idle.pop(self, None)
        super().on_headers_complete()
        if self._upgrades:
            return
        self.cycle.transport = cast(asyncio.Transport, _Door(self.transport, self._hang_up))
        self.cycle.scope[CUT] = partial(self._cut, self.cycle)  # type: ignore[typeddict-unknown-key]
        self._phase, self._new = Phase.BODY, True
        if len(self.pipeline) > MAX_PIPELINED:
            raise _too_much_ahead()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._most:
            raise body_too_large(self._most)
        if self.pipeline:
            self._ahead_bytes += len(body)
            if self._ahead_bytes > MAX_AHEAD_BYTES:
                raise _too_much_ahead()
        super().on_body(body)

    def _names_socket(self) -> bool:
        if not self._sockets or self._get_upgrade() != b"websocket" or self._running is not None:
            return False
        return SLASHES.sub("/", self.url.partition(b"?")[0].decode("latin-1")).rstrip("/") in self._sockets

    def _should_upgrade(self) -> bool:
        return self._upgrades

    def _become_socket(self) -> None:
        """Another protocol has the connection from here on; its slot stays taken until it is gone."""
        from nexus_gateway.http.sockets import EdgeSocket

        self._disarm()
        self.ws_protocol_class = cast(
            type[asyncio.Protocol],
            partial(
                EdgeSocket,
                stalled_client_seconds=self._limits.stalled_client_seconds,
                left=partial(self._slots.leave, self._address, self),
            ),
        )
        self.handle_websocket_upgrade()

    def on_message_complete(self) -> None:
        self._phase = Phase.IDLE
        super().on_message_complete()

    # The answer

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self._running = (cycle, task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._running = None
        if self._deaf or self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._ahead_bytes -= len(cycle.body)
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._phase is Phase.IDLE:
            self._idle[self] = None
            self._arm(Phase.IDLE, self._limits.keep_alive_seconds, self.transport.close)

    def _hang_up(self) -> None:
        """Ends the connection after an answer. With input still on its way, closing at once would lose the answer."""
        if self._phase is not Phase.BODY or self.transport.is_closing():
            self.transport.close()
            return
        self._deaf = True
        self.flow.resume_reading()
        self.transport.write_eof()
        self._arm(Phase.IDLE, LINGER_SECONDS, self.transport.abort)

    def _cut(self, cycle: RequestResponseCycle) -> None:
        """Breaks an answer off. Without chunks only a reset tells a client that there should have been more."""
        cycle.disconnected = True
        (self.transport.close if cycle.chunked_encoding else self.transport.abort)()

    def _abandon(self) -> None:
        """Stops the work for a request whose client cannot be answered any more."""
        if self._running is not None:
            cycle, task = self._running
            self._running = None
            cycle.scope[CLIENT_LEFT] = True  # type: ignore[typeddict-unknown-key]
            cycle.disconnected = True
            task.cancel()

    # Refusing

    def _refuse(self, error: EdgeError) -> None:
        """Answers bad HTTP once the requests before it have had their answers; takes no further input."""
        self._refusal = error
        self._disarm()
        REFUSED.labels(error.name).inc()
        if self._phase is Phase.BODY:
            self._drop_unfinished()
        if self._running is None and not self.transport.is_closing():
            self._write_refusal(error)

    def _drop_unfinished(self) -> None:
        """Forgets the request whose body went wrong: waiting for its turn, or already being worked on."""
        if self.pipeline:
            self.pipeline.popleft()
        elif self._running is not None:
            begun = self._running[0].response_started
            self._abandon()
            if begun:
                self.transport.close()

    def _write_refusal(self, error: EdgeError) -> None:
        self.flow.resume_reading()
        self.transport.write(refusal_bytes(error, self._say_error, STATUS_LINE))
        self.transport.write_eof()
        self._arm(Phase.IDLE, LINGER_SECONDS, self.transport.abort)

    def _headers_too_large(self) -> EdgeError:
        fields, size = self._limits.header_fields, self._limits.header_bytes
        return EdgeError("headers_too_large", f"The headers exceed {fields} fields or {size} bytes.")

    # Deadlines

    def _set_deadline(self, received: int) -> None:
        """After each piece of input: a head or a body under way has a deadline, a request being served has none."""
        if self._phase is Phase.HEAD:
            self._head_bytes += received
            if self._head_bytes > self._limits.header_bytes + self._limits.url_bytes:
                self._refuse(self._headers_too_large())
            elif self._timed is not Phase.HEAD:
                self._arm(Phase.HEAD, self._limits.head_seconds, self._head_is_late)
        elif self._phase is Phase.BODY:
            if self._timed is not Phase.BODY:
                self._body_since = self.loop.time()
                self._arm(Phase.BODY, self._limits.body_seconds, self._check_body)
        elif self._running is not None:
            self._disarm()
        elif self._timed is Phase.BODY:
            self._idle[self] = None
            self._arm(Phase.IDLE, self._limits.keep_alive_seconds, self.transport.close)

    def _head_is_late(self) -> None:
        if self._phase is Phase.IDLE:
            self.transport.close()
        else:
            self._refuse(EdgeError("request_timeout", "The request's headers took too long to arrive."))

    def _check_body(self) -> None:
        elapsed = self.loop.time() - self._body_since
        if self.flow.read_paused:
            self._body_since += BODY_CHECK_SECONDS  # it waits for us
            self._arm(Phase.BODY, BODY_CHECK_SECONDS, self._check_body)
        elif self._body_bytes >= self._limits.body_rate * elapsed:
            self._arm(Phase.BODY, BODY_CHECK_SECONDS, self._check_body)
        else:
            self._refuse(EdgeError("request_timeout", "The request's body took too long to arrive."))

    def _arm(self, phase: Phase, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timed = phase
        self._timer = self.loop.call_later(seconds, action)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = Phase.IDLE

    def _unstall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _has_form(headers: list[Header]) -> bool:
    return any(name == b"content-type" and is_form(value) for name, value in headers)


def _too_much_ahead() -> EdgeError:
    return EdgeError("bad_request", "Too much was sent ahead on one connection. Wait for the answers.")
