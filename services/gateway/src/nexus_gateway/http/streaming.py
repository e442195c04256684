"""Sends one stream of the mesh to one client: the head, the events as they come, comments while nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from nexus.inference.v1 import inference_pb2
from nexus_mesh.errors import MeshError, Reason

from nexus_gateway.http.events import KEEP_ALIVE, EventWriter
from nexus_gateway.http.exchange import Exchange, served_headers
from nexus_gateway.http.metrics import STREAMS_ACTIVE
from nexus_gateway.request import InferenceRequest

SILENT_COMMIT_SECONDS = 0.2
"""The pipeline hands the stream over when it is committed. Its first message, which says who answers, is there by
then, unless it committed without any: after this time the head goes out without it."""


async def send_events(
    exchange: Exchange,
    request: InferenceRequest,
    messages: AsyncIterator[inference_pb2.StreamResponse],
    keep_alive_seconds: float,
) -> None:
    """Returns when the stream has ended well. MeshError, whether or not its head has been sent already."""
    stream = _EventStream(exchange, request)
    heart = asyncio.create_task(stream.beat(keep_alive_seconds), name="sse keep-alive")
    try:
        with STREAMS_ACTIVE.track_inprogress():
            last = await stream.pump(messages)
            heart.cancel()
            await exchange.end(last)
    finally:
        heart.cancel()


class _EventStream:
    """The state two tasks share: one writes what arrives, the other what keeps the line open meanwhile."""

    def __init__(self, exchange: Exchange, request: InferenceRequest) -> None:
        self._exchange = exchange
        self._request = request
        self._writer: EventWriter | None = None

    async def pump(self, messages: AsyncIterator[inference_pb2.StreamResponse]) -> bytes:
        """Writes each message's events at once; returns the last ones, still to be written."""
        async for message in messages:
            writer = self._writer or self._open(message.served)
            kind = message.WhichOneof("event")
            data = b""
            if kind == "chunks":
                data = writer.chunks(message.chunks.json)
            elif kind == "finish":
                data = writer.finish(message.finish.usage if message.finish.HasField("usage") else None)
            if self._exchange.tail is None:
                await self._exchange.start_events(served_headers(message.served), writer.error)
            if kind == "finish":
                return data
            if data:
                await self._exchange.write(data)
        raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend's stream ended without its end mark.")

    async def beat(self, seconds: float) -> None:
        """Sends the head if nothing else does, then a comment whenever nothing was written for `seconds`."""
        exchange, clock = self._exchange, asyncio.get_running_loop().time
        await asyncio.sleep(min(SILENT_COMMIT_SECONDS, seconds))
        if exchange.tail is None:
            writer = self._writer or self._open(inference_pb2.Served())
            await exchange.start_events((), writer.error)
        while True:
            due = exchange.written_at + seconds
            if due <= clock():
                await exchange.write(KEEP_ALIVE)
            else:
                await asyncio.sleep(due - clock())

    def _open(self, served: inference_pb2.Served) -> EventWriter:
        request = self._request
        self._writer = EventWriter(
            request.operation,
            request.request_id,
            served.model or request.model,
            choices=request.answers,
            usage=request.include_usage,
        )
        return self._writer
