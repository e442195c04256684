"""Long work as a gateway hands it in, and a gateway that runs it as the test says."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import grpc
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus.store.v1 import work_pb2 as pb
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError
from nexus_mesh.rpc import Method, Peer

SERVICE = "nexus.store.v1.WorkService"
SUBMIT = Method(SERVICE, "SubmitWork", pb.SubmitWorkRequest, pb.SubmitWorkResponse)
GET = Method(SERVICE, "GetWork", pb.GetWorkRequest, pb.GetWorkResponse)
LIST = Method(SERVICE, "ListWork", pb.ListWorkRequest, pb.ListWorkResponse)
CANCEL = Method(SERVICE, "CancelWork", pb.CancelWorkRequest, pb.CancelWorkResponse)
DELETE = Method(SERVICE, "DeleteWork", pb.DeleteWorkRequest, pb.DeleteWorkResponse)
WATCH = Method(SERVICE, "WatchWork", pb.WatchWorkRequest, pb.WatchWorkResponse)
VIDEO = model_pb2.OPERATION_VIDEO
OVER = {pb.WORK_STATE_SUCCEEDED, pb.WORK_STATE_FAILED, pb.WORK_STATE_CANCELLED}
TIMEOUT = 30.0


class WorkClient:
    """Calls raise MeshError."""

    def __init__(self, peer: Peer, tenant: str = "t1") -> None:
        self.peer = peer
        self.tenant = tenant

    async def submit(self, prompt: str = "a lake", **more: Any) -> pb.Work:
        body = json.dumps({"model": "m", "prompt": prompt, "seconds": "4"})
        given = {"operation": VIDEO, "model": "m", "body": body, "id": secrets.token_hex(16)} | more
        request = pb.SubmitWorkRequest(tenant=self.tenant, **given)
        return (await self.peer.unary(SUBMIT, request, timeout=TIMEOUT)).work

    async def get(self, work_id: str) -> pb.Work:
        request = pb.GetWorkRequest(tenant=self.tenant, id=work_id)
        return (await self.peer.unary(GET, request, timeout=TIMEOUT)).work

    async def page(self, **more: Any) -> pb.ListWorkResponse:
        request = pb.ListWorkRequest(tenant=self.tenant, operation=VIDEO, **more)
        return await self.peer.unary(LIST, request, timeout=TIMEOUT)

    async def cancel(self, work_id: str) -> pb.Work:
        request = pb.CancelWorkRequest(tenant=self.tenant, id=work_id)
        return (await self.peer.unary(CANCEL, request, timeout=TIMEOUT)).work

    async def delete(self, work_id: str) -> None:
        await self.peer.unary(DELETE, pb.DeleteWorkRequest(tenant=self.tenant, id=work_id), timeout=TIMEOUT)

    async def watch(self, work_id: str) -> list[pb.Work]:
        """All that is told, up to its end."""
        request = pb.WatchWorkRequest(tenant=self.tenant, id=work_id)
        async with self.peer.stream(WATCH, request, timeout=60) as call:
            return [message.work async for message in call]

    async def ended(self, work_id: str) -> pb.Work:
        return (await self.watch(work_id))[-1]


FILM = bytes(range(256)) * 600
"""In three pieces."""
STILL = b"RIFF a picture of it"


class ScriptedGateway(inference_pb2_grpc.InferenceServiceServicer):
    """`script`: what the next requests meet: "ok", "half", "hold", or a MeshError; the last one stays.

    In "hold" it waits for let_go() after half of its progress.
    """

    def __init__(self, *script: str | MeshError) -> None:
        self.script: list[str | MeshError] = list(script or ["ok"])
        self.seen: list[inference_pb2.Envelope] = []
        self.uploaded: list[bytes] = []
        self.running: list[str] = []
        """The tenants of those that run."""
        self.most: dict[str, int] = {}
        """How many of a tenant have run at once."""
        self.cancelled = 0
        self._go = asyncio.Semaphore(0)

    def let_go(self, number: int = 1) -> None:
        for _ in range(number):
            self._go.release()

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CompleteResponse:
        self.seen.append(request.envelope)
        return inference_pb2.CompleteResponse(body='{"object": "list"}', served=_served())

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        tenant = request.envelope.on_behalf_of
        self.seen.append(request.envelope)
        self.running.append(tenant)
        self.most[tenant] = max(self.most.get(tenant, 0), self.running.count(tenant))
        try:
            async for message in self._play():
                yield message
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running.remove(tenant)

    async def Upload(
        self, request_iterator: AsyncIterator[inference_pb2.UploadRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.UploadResponse]:
        came = b""
        async for message in request_iterator:
            if message.HasField("start"):
                self.seen.append(message.start.envelope)
                yield _said(progress=inference_pb2.Progress(phase="receiving"), served=_served())
            came += message.chunk
            if message.HasField("end"):
                break
        self.uploaded.append(came)
        yield _said(answer=inference_pb2.Answer(body='{"text": "one"}'))
        yield _said(finish=inference_pb2.Finish())

    async def _play(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        what = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        yield inference_pb2.StreamResponse(
            progress=inference_pb2.Progress(phase="painting", done=1, total=2, unit="steps"), served=_served()
        )
        if what == "hold":
            await self._go.acquire()
        if isinstance(what, MeshError):
            raise what
        yield _media(STILL, preview=0, mime_type="image/webp", last=True, json='{"variant":"thumbnail"}')
        yield _media(FILM[:65_536], mime_type="video/mp4", size=len(FILM))
        if what == "half":
            return
        yield _media(FILM[65_536:131_072])
        yield _media(FILM[131_072:], last=True, json='{"seconds":"4","size":"64x64"}')
        usage = inference_pb2.Usage(output_seconds=4)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))


def _served() -> inference_pb2.Served:
    return inference_pb2.Served(model="m", backend="box", zone="default")


def _media(data: bytes, **more: Any) -> inference_pb2.StreamResponse:
    return inference_pb2.StreamResponse(media=inference_pb2.Media(data=data, **more))


def _said(**event: Any) -> inference_pb2.UploadResponse:
    return inference_pb2.UploadResponse(event=inference_pb2.StreamResponse(**event))
