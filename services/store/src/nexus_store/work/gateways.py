"""Running a request at a gateway, on behalf of a tenant: its answer as it comes, whichever way it travels."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.process import Finder
from nexus_mesh.rpc import DuplexStream, Method, Peer
from nexus_operations import ENOUGH, Shape, spec_of

__all__ = ["Files", "Gateways"]

Envelope = inference_pb2.Envelope
Event = inference_pb2.StreamResponse
Steps = AsyncGenerator[inference_pb2.Part | bytes, None]
Files = Callable[[], Steps]
"""The files of a request from their beginning: a part, then its bytes in pieces of 64 KiB at most."""

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)
UPLOAD = Method(SERVICE, "Upload", inference_pb2.UploadRequest, inference_pb2.UploadResponse)
RETRY_AFTER = 2.0


class Gateways:
    """One after the other, of those that are up."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._turn = itertools.count()

    async def run(self, envelope: Envelope, files: Files, seconds: float) -> AsyncGenerator[Event, None]:
        """The events of the answer, of which `finish` is the last. Closing it frees the backend. Raises MeshError."""
        peer, shape = await self._one(), spec_of(envelope.operation).shape
        if shape is Shape.UPLOAD:
            events = _uploaded(peer, envelope, files, seconds)
        elif shape is Shape.MEDIA:
            events = _streamed(peer, envelope, seconds)
        else:
            events = _completed(peer, envelope, seconds)
        async with aclosing(events):
            async for event in events:
                yield event
                if event.HasField("finish"):
                    return
        raise MeshError(Reason.UPSTREAM_MALFORMED, "The gateway's answer ended before it was whole.")

    async def _one(self) -> Peer:
        try:
            found = await self._finder.all()
        except MeshError:
            found = []  # the registry is away, and none was known before
        if not found:
            raise MeshError(
                Reason.NOT_READY, "No gateway is known that could run this.", retry_after=RETRY_AFTER
            )
        return found[next(self._turn) % len(found)].peer


async def _completed(peer: Peer, envelope: Envelope, seconds: float) -> AsyncGenerator[Event, None]:
    request = inference_pb2.CompleteRequest(envelope=envelope)
    whole = await peer.unary(COMPLETE, request, timeout=seconds)
    yield Event(answer=inference_pb2.Answer(body=whole.body), served=whole.served)
    yield Event(finish=inference_pb2.Finish(usage=whole.usage if whole.HasField("usage") else None))


async def _streamed(peer: Peer, envelope: Envelope, seconds: float) -> AsyncGenerator[Event, None]:
    async with peer.stream(STREAM, inference_pb2.StreamRequest(envelope=envelope), timeout=seconds) as call:
        async for event in call:
            yield event


async def _uploaded(
    peer: Peer, envelope: Envelope, files: Files, seconds: float
) -> AsyncGenerator[Event, None]:
    async with peer.duplex(UPLOAD, timeout=seconds) as call:
        start = inference_pb2.UploadStart(envelope=envelope)
        await call.send(inference_pb2.UploadRequest(start=start))
        sender = _Sender(call, files)
        sending = asyncio.create_task(sender.send(), name="upload of work")
        try:
            async for message in call:
                sender.enough = sender.enough or message.event.progress.phase == ENOUGH
                yield message.event
        except MeshError as error:
            raise sender.fault or error from None
        finally:
            sending.cancel()
            await asyncio.wait({sending})


class _Sender:
    """Sends files beside what is heard. `fault`: what is wrong with them."""

    def __init__(
        self, call: DuplexStream[inference_pb2.UploadRequest, inference_pb2.UploadResponse], files: Files
    ) -> None:
        self.enough = False
        """Whether nobody wants more of them."""
        self.fault: MeshError | None = None
        self._call = call
        self._files = files

    async def send(self) -> None:
        size = 0
        try:
            async with aclosing(self._files()) as steps:
                async for step in steps:
                    if isinstance(step, bytes):
                        size += len(step)
                        message = inference_pb2.UploadRequest(chunk=step)
                    else:
                        message = inference_pb2.UploadRequest(part=step)
                    if self.enough or not await self._call.send(message):
                        break
                else:
                    end = inference_pb2.UploadEnd(size=size)
                    await self._call.send(inference_pb2.UploadRequest(end=end))
        except MeshError as error:
            self.fault = error
            self._call.cancel()
            return
        await self._call.close_sending()
