"""A request with files, asked of one candidate: what is sent beside what is heard.

Nothing is sent before whoever is asked has taken the request: a place that is not free, and a connection that is not
made, cost nobody a file. What is wrong with the files is their sender's mistake, and never held against a backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import DuplexStream, Method, Peer, StreamCall
from nexus_operations import ENOUGH
from nexus_routing import Candidate

from nexus_gateway.core import Files, RequestContext
from nexus_gateway.dispatch.attempts import envelope
from nexus_gateway.dispatch.streams import BackendStream, has_content
from nexus_gateway.fleet import Attempt

__all__ = ["UploadedStream"]

UPLOAD = Method(
    "nexus.inference.v1.InferenceService",
    "Upload",
    inference_pb2.UploadRequest,
    inference_pb2.UploadResponse,
)
Call = DuplexStream[inference_pb2.UploadRequest, inference_pb2.UploadResponse]


class _Answers(StreamCall[inference_pb2.StreamResponse]):
    """The answers to an upload as any stream's."""

    def __init__(self, call: Call, start: inference_pb2.UploadStart) -> None:
        self._call = call
        self._start = start

    async def __aenter__(self) -> _Answers:
        await self._call.__aenter__()
        return self

    async def __aexit__(self, *left: object) -> None:
        await self._call.__aexit__(*left)

    def cancel(self) -> None:
        self._call.cancel()

    async def __aiter__(self) -> AsyncGenerator[inference_pb2.StreamResponse, None]:
        await self._call.send(inference_pb2.UploadRequest(start=self._start))
        async for message in self._call:
            yield message.event


class UploadedStream(BackendStream):
    """Open from construction to close()."""

    def __init__(self, peer: Peer, candidate: Candidate, attempt: Attempt, context: RequestContext) -> None:
        asked = envelope(context, candidate, context.body_for(candidate.model.id))
        start = inference_pb2.UploadStart(envelope=asked, stream=context.request.stream)
        self._upload: Call = peer.duplex(UPLOAD, timeout=context.left)
        super().__init__(peer, candidate, attempt, _Answers(self._upload, start), context)
        self._files = cast(Files, context.request.files)
        self._sending: asyncio.Task[None] | None = None
        self._all_sent = self._enough = False
        self._fault: MeshError | None = None
        """What is wrong with the files, or with how they are taken."""

    async def open(self) -> None:
        """Sends all there is, and reads up to the first content. Raises MeshError."""
        message = await self._first()  # it is taken
        self._limit = self._limits.total  # the backend has nothing to say while it listens
        self._sending = asyncio.create_task(self._send(), name="upload")
        while message is not None and not self._keep(message):
            message = await self.read()
        self._begin()

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        await super().close()

    async def _send(self) -> None:
        size = 0
        try:
            async for step in self._files.steps():
                if self._enough:
                    await self._upload.close_sending()
                    return
                if isinstance(step, bytes):
                    size += len(step)
                    sent = await self._send_one(inference_pb2.UploadRequest(chunk=step))
                else:
                    sent = await self._send_one(inference_pb2.UploadRequest(part=step))
                if not sent:
                    return
        except MeshError as error:
            self._fault = error
            self._call.cancel()
            return
        self._all_sent = True
        if await self._send_one(inference_pb2.UploadRequest(end=inference_pb2.UploadEnd(size=size))):
            await self._upload.close_sending()
            self._allow(self._limits.first_token)

    async def _send_one(self, message: inference_pb2.UploadRequest) -> bool:
        """Whether the call goes on. One that is not taken for as long as a silence may last is given up."""
        try:
            async with asyncio.timeout(self._limits.stall):
                return await self._upload.send(message)
        except TimeoutError:
            limit = f"{self._limits.stall:g}"
            self._attempt.fail(fault := MeshError(
                Reason.STREAM_IDLE_TIMEOUT,
                f"The backend {self._candidate.target.backend} took nothing of the file for {limit} s.",
                metadata={"limit_seconds": limit},
            ))  # fmt: skip
            self._fault = fault
            self._call.cancel()
            return False

    def _keep(self, message: inference_pb2.StreamResponse) -> bool:
        is_content = super()._keep(message)
        self._enough = self._enough or message.progress.phase == ENOUGH
        if is_content and not self._all_sent and has_content(message, self._spec):
            raise self._judged(
                MeshError(
                    Reason.UPSTREAM_MALFORMED,
                    "The backend answered before it had the whole file, so its answer is not about all of it.",
                )
            )
        return is_content

    def _judged(self, error: MeshError) -> MeshError:
        if self._fault is not None:
            return self._fault
        return super()._judged(error)
