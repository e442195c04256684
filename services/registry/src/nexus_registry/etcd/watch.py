"""A watch of a prefix that outlives members, connections, compaction and restored clusters."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from types import TracebackType

from nexus.etcd.v1 import rpc_pb2
from nexus_mesh.core import Backoff, telemetry

from nexus_registry.etcd.cluster import PAUSES, Cluster
from nexus_registry.etcd.connection import Connection, Stream
from nexus_registry.etcd.errors import ClientClosedError, EtcdError, UnavailableError
from nexus_registry.etcd.history import History, HistoryLostError
from nexus_registry.etcd.kv import KV
from nexus_registry.etcd.model import Changes, Snapshot, prefix_end

# Progress requests cannot serve as heartbeat: newer servers leave them unanswered while nothing has happened
# since the watch was made. So the member is asked for its status over the same connection.
HEARTBEAT_SECONDS = 5.0

log = telemetry.logger("etcd")


class PrefixWatch:
    """Async iterator of one Snapshot and then Changes, for one consumer. It ends only by `close`.

    `on_state` is called with True and False as the stream to etcd comes and goes.
    """

    def __init__(
        self, cluster: Cluster, kv: KV, prefix: bytes, on_state: Callable[[bool], None] | None = None
    ) -> None:
        self._cluster = cluster
        self._kv = kv
        self._prefix = prefix
        self._on_state = on_state
        self._history = History()
        self._backoff = Backoff(*PAUSES)
        self._connection: Connection | None = None
        self._stream: Stream[rpc_pb2.WatchRequest, rpc_pb2.WatchResponse] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._heard = time.monotonic()
        self._reported: type[EtcdError] | None = None
        self._closed = False
        self.connected = False

    @property
    def revision(self) -> int:
        """The revision up to which everything has been delivered."""
        return self._history.revision

    @property
    def silence(self) -> float:
        """Seconds since etcd last answered: how old the consumer's view may be."""
        return time.monotonic() - self._heard

    def __aiter__(self) -> PrefixWatch:
        return self

    async def __anext__(self) -> Snapshot | Changes:
        while not self._closed:
            try:
                update = await self._step()
            except ClientClosedError:
                await self.close()
            except EtcdError as error:
                await self._recover(error)
            else:
                if update is not None and not self._closed:
                    self._backoff.reset()
                    return update
        raise StopAsyncIteration

    async def __aenter__(self) -> PrefixWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the watch; a pending iteration stops. Safe to call twice."""
        self._closed = True
        await self._hang_up()

    async def _step(self) -> Snapshot | Changes | None:
        if not self._history.listed:
            listing = await self._kv.range(self._prefix)
            self._heard = time.monotonic()
            return self._history.replace(listing)
        stream = self._stream or await self._open()
        response = await stream.read()
        self._heard = time.monotonic()
        update = self._history.apply(response)
        if response.created:
            self._set_connected(True)
            self._reported = None
        return update

    async def _open(self) -> Stream[rpc_pb2.WatchRequest, rpc_pb2.WatchResponse]:
        connection = await self._cluster.connection()
        status = await self._status(connection)
        if self._closed:
            raise ClientClosedError
        self._history.trust_progress = reports_progress_rightly(status.version)
        self._connection = connection
        self._stream = stream = connection.stream(connection.watch.Watch)
        self._heartbeat = asyncio.create_task(self._beat(connection))
        create = rpc_pb2.WatchCreateRequest(
            key=self._prefix or b"\0",
            range_end=prefix_end(self._prefix),
            start_revision=self._history.resume(),
            progress_notify=True,
            fragment=True,
        )
        stream.send(rpc_pb2.WatchRequest(create_request=create))
        return stream

    async def _beat(self, connection: Connection) -> None:
        """Ask for a sign of life now and then; without one the cluster gives the connection up."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self._status(connection)
            except EtcdError:
                return
            self._heard = time.monotonic()
            self._backoff.reset()

    async def _status(self, connection: Connection) -> rpc_pb2.StatusResponse:
        return await self._cluster.call_on(connection, connection.maintenance.Status, rpc_pb2.StatusRequest())

    async def _recover(self, error: EtcdError) -> None:
        connection = self._connection
        await self._hang_up()
        if self._closed:
            return
        if type(error) is not self._reported:
            self._reported = type(error)
            log.warning("etcd watch interrupted", revision=self.revision, reason=str(error))
        if isinstance(error, HistoryLostError):
            return
        if isinstance(error, UnavailableError) and connection is not None:
            self._cluster.fail(connection)
        await self._backoff.wait()

    async def _hang_up(self) -> None:
        self._set_connected(False)
        stream, self._stream, self._connection = self._stream, None, None
        heartbeat, self._heartbeat = self._heartbeat, None
        if stream is not None:
            stream.cancel()
        if heartbeat is not None:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)

    def _set_connected(self, connected: bool) -> None:
        if connected is not self.connected:
            self.connected = connected
            if self._on_state is not None:
                self._on_state(connected)


def reports_progress_rightly(version: str) -> bool:
    """Older servers may announce a revision before they have sent its events."""
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return number >= (3, 5, 8) or (3, 4, 25) <= number < (3, 5)
