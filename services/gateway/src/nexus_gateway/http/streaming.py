"""Sends one stream of the mesh to one client: the head, the events as they come, comments while nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core import InferenceRequest
from nexus_gateway.http.events import KEEP_ALIVE, RESUMED, EventWriter
from nexus_gateway.http.exchange import Exchange, served_headers
from nexus_gateway.http.metrics import STREAMS_ACTIVE

Messages = AsyncIterator[inference_pb2.StreamResponse]


async def send_events(
    exchange: Exchange, request: InferenceRequest, messages: Messages, keep_alive_seconds: float
) -> None:
    """Returns when the stream has ended well. MeshError, whether or not its head has been sent already.

    The first of `messages` says who answers, if that is certain by then; the head waits for it.
    """
    first = await anext(messages, None)
    if first is None:
        raise _unfinished()
    writer = EventWriter(
        request.operation,
        request.request_id,
        first.served.model or request.model,
        choices=request.answers,
        usage=request.include_usage,
    )
    data, ended = _events(writer, first)
    with STREAMS_ACTIVE.track_inprogress():
        await exchange.start_events(served_headers(first.served), writer.error)
        if not ended:
            data = await _pump(exchange, messages, writer, data, keep_alive_seconds)
        await exchange.end(data)


async def _pump(
    exchange: Exchange, messages: Messages, writer: EventWriter, data: bytes, keep_alive_seconds: float
) -> bytes:
    """One write per message, for a task or timer per chunk would cost more than the chunk. Returns the last events."""
    heart = asyncio.create_task(beat(exchange, keep_alive_seconds), name="sse keep-alive")
    try:
        if data:
            await exchange.write(data)
        async for message in messages:
            data, ended = _events(writer, message)
            if ended:
                return data
            if data:
                await exchange.write(data)
    finally:
        heart.cancel()
    raise _unfinished()


def _events(writer: EventWriter, message: inference_pb2.StreamResponse) -> tuple[bytes, bool]:
    """What one message is to the client, and whether it is the last."""
    kind = message.WhichOneof("event")
    if kind == "chunks":
        return writer.chunks(message.chunks.json), False
    if kind == "finish":
        return writer.finish(message.finish.usage if message.finish.HasField("usage") else None), True
    return (RESUMED if message.progress.phase == "resumed" else b""), False


async def beat(exchange: Exchange, seconds: float) -> None:
    """A comment whenever nothing was written for `seconds`."""
    clock = asyncio.get_running_loop().time
    while True:
        due = exchange.written_at + seconds
        if due <= clock():
            await exchange.write(KEEP_ALIVE)
        else:
            await asyncio.sleep(due - clock())


def _unfinished() -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, "The backend's stream ended without its end mark.")
