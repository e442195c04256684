"""One piece of work at a gateway, and its outputs in the store: all of them, or none."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.store.v1 import work_pb2 as pb
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_operations import spec_of
from nexus_tasks import Claim, Done, TaskTable

from nexus_store.incoming import Incoming
from nexus_store.store import Store
from nexus_store.types import NewObject
from nexus_store.work.gateways import Gateways

__all__ = ["PURPOSE", "Runner"]

PURPOSE = "work"
"""Of the objects that are made."""
CHUNK = 64 << 10
INLINE_BYTES = 10 << 20
"""Of files that travel in a body, all together."""
LARGEST_BODY = 512 << 10
"""Bytes of a response object that stands in the row; a larger one is an output of its own."""
STEP = 0.1
"""How much further it must be for the row to hear of it."""
STOP_SECONDS = 10.0

Name = tuple[int, int | None]
"""Which output, and which preview of it."""

log = telemetry.logger("work")


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[object] | None
    percent: int = 0
    told: float = 0.0
    made: list[str] = field(default_factory=list[str])


class Runner:
    """The handler of all work of this process. `retention`: seconds that outputs are kept."""

    def __init__(
        self,
        table: TaskTable,
        store: Store,
        gateways: Gateways,
        retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._store = store
        self._gateways = gateways
        self._retention = retention
        self._clock = clock
        self._running: dict[int, _Running] = {}
        self._changed = asyncio.Event()

    # What others may know of it.

    def percent(self, task: int) -> int:
        running = self._running.get(task)
        return 0 if running is None else running.percent

    def next(self) -> asyncio.Event:
        return self._changed

    async def stop(self, task: int) -> None:
        running = self._running.get(task)
        if running is not None and running.task is not None:
            running.task.cancel()
            await asyncio.wait({running.task}, timeout=STOP_SECONDS)

    # Doing it.

    async def run(self, claim: Claim) -> Done:
        """Raises MeshError for what failed. Of an attempt that did not succeed nothing is left."""
        running = self._running[claim.id] = _Running(asyncio.current_task())
        self._ring()
        try:
            result = (await self._run(claim, running)).SerializeToString()
            try:
                await self._table.complete(claim, result)
            except MeshError as error:
                if error.reason is Reason.CONFLICT:
                    raise  # it is nobody's any more
            return Done(result)  # said again by the worker, which has patience with a table that is away
        except BaseException:
            await asyncio.shield(self._discard(claim.tenant, running.made))
            raise
        finally:
            del self._running[claim.id]
            self._ring()

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _discard(self, tenant: str, made: list[str]) -> None:
        for object_id in made:
            with suppress(MeshError):  # it goes by itself, later
                await self._store.delete(tenant, object_id)

    async def _run(self, claim: Claim, running: _Running) -> pb.WorkResult:
        asked = pb.SubmitWorkRequest.FromString(claim.payload)
        inline = [file for file in asked.files if file.name not in spec_of(asked.operation).files]
        envelope = inference_pb2.Envelope(
            operation=asked.operation,
            model=asked.model,
            body=await self._body(claim.tenant, asked.body, inline),
            request_id=f"req_work{claim.id}-{claim.attempt}",
            zone=asked.zone,
            priority=asked.priority,
            on_behalf_of=claim.tenant,
        )
        result = pb.WorkResult()
        left = 1e9 if claim.deadline is None else max(1.0, claim.deadline - self._clock())
        events = self._gateways.run(envelope, lambda: self._files(claim.tenant, asked), left)
        async with aclosing(events), AsyncExitStack() as stack:
            outputs = _Outputs(self._new(claim), self._store, stack, running.made)
            async for event in events:
                if event.HasField("served"):
                    result.served.CopyFrom(event.served)
                kind = event.WhichOneof("event")
                if kind == "media":
                    await outputs.take(event.media)
                elif kind == "progress":
                    await self._progress(claim, running, event.progress)
                elif kind == "answer":
                    await outputs.answer(event.answer, result)
                elif kind == "finish" and event.finish.HasField("usage"):
                    result.usage.CopyFrom(event.finish.usage)
            result.outputs.extend(outputs.whole())
        return result

    def _new(self, claim: Claim) -> Callable[[str], NewObject]:
        expires = self._clock() + self._retention
        return lambda mime: NewObject(
            tenant=claim.tenant, purpose=PURPOSE, mime_type=mime, expire_time=expires
        )

    async def _progress(self, claim: Claim, running: _Running, told: inference_pb2.Progress) -> None:
        if not told.total or told.index:
            return
        percent = min(99, 100 * told.done // told.total)
        if percent <= running.percent:
            return
        running.percent = percent
        self._ring()
        if percent / 100 >= running.told + STEP:
            running.told = percent / 100
            await self._table.progress(claim, running.told, told.phase[:64])

    async def _body(self, tenant: str, body: str, inline: list[pb.WorkFile]) -> str:
        if not inline:
            return body
        read, left = msgspec.json.decode(body, type=dict[str, object]), INLINE_BYTES
        for file in inline:
            outgoing = await self._store.get(tenant, file.object_id)
            left -= outgoing.length
            if left < 0:
                outgoing.reader.close()
                raise MeshError(
                    Reason.REQUEST_TOO_LARGE,
                    f"The files of this request have more than {INLINE_BYTES >> 20} MB.",
                    metadata={"param": file.name},
                )
            data = b"".join([block async for block in outgoing.blocks()])
            url = f"data:{outgoing.object.mime_type};base64,{base64.b64encode(data).decode()}"
            read[file.name] = {"image_url": url}
        return msgspec.json.encode(read).decode()

    async def _files(
        self, tenant: str, asked: pb.SubmitWorkRequest
    ) -> AsyncGenerator[inference_pb2.Part | bytes, None]:
        """Those that are sent."""
        for file in asked.files:
            if file.name not in spec_of(asked.operation).files:
                continue
            outgoing = await self._store.get(tenant, file.object_id)
            about = outgoing.object
            yield inference_pb2.Part(
                name=file.name, filename=about.filename, mime_type=about.mime_type, size=about.size
            )
            async with aclosing(outgoing.blocks()) as blocks:
                async for block in blocks:
                    for at in range(0, len(block), CHUNK):
                        yield block[at : at + CHUNK]


class _Outputs:
    """Of one answer, on their way into the store. Ids of what is there already go into `made`."""

    def __init__(
        self, new: Callable[[str], NewObject], store: Store, stack: AsyncExitStack, made: list[str]
    ) -> None:
        self._new = new
        self._store = store
        self._stack = stack
        self._made = made
        self._coming: dict[Name, tuple[Incoming, int, str]] = {}
        self._whole: dict[Name, pb.WorkOutput] = {}

    async def take(self, media: inference_pb2.Media) -> None:
        """Raises UPSTREAM_MALFORMED for what is no output as it should be, and what the store raises."""
        preview = media.preview if media.HasField("preview") else None
        name = media.index, preview
        if name in self._whole or (name not in self._coming and not media.mime_type):
            raise _malformed("sent bytes that belong to no output")
        if name not in self._coming:
            new = self._new(media.mime_type)
            incoming = await self._stack.enter_async_context(self._store.receive(new))
            self._coming[name] = incoming, 0, media.mime_type
        incoming, size, kind = self._coming[name]
        if media.data:
            await incoming.write(media.data)
        self._coming[name] = incoming, size + len(media.data), kind
        if media.last:
            await self._keep(name, media.json)

    async def _keep(self, name: Name, facts: str) -> None:
        incoming, size, kind = self._coming.pop(name)
        one = await incoming.finish(size, b"")
        self._made.append(one.id)
        self._whole[name] = pb.WorkOutput(
            index=name[0], preview=name[1], object_id=one.id, mime_type=kind, size=size, json=facts
        )

    async def answer(self, answer: inference_pb2.Answer, result: pb.WorkResult) -> None:
        kind = answer.mime_type or "application/json"
        body = answer.body.encode()
        if kind == "application/json" and len(body) <= LARGEST_BODY:
            result.body = answer.body
            return
        for at in range(0, len(body) or 1, CHUNK):
            data = body[at : at + CHUNK]
            last = at + CHUNK >= len(body)
            await self.take(inference_pb2.Media(data=data, mime_type="" if at else kind, last=last))

    def whole(self) -> list[pb.WorkOutput]:
        """By their numbers, each after its previews. Raises UPSTREAM_MALFORMED when one was cut off."""
        if self._coming:
            raise _malformed("ended in the middle of an output")
        order = sorted(self._whole, key=lambda name: (name[0], name[1] is None, name[1] or 0))
        return [self._whole[name] for name in order]


def _malformed(what: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, f"The backend {what}, so nothing of its answer was kept.")
