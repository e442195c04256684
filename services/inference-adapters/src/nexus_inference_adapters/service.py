"""The gRPC face of the adapter: checks the envelope, calls the backend, converts the events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import msgspec
from nexus.catalog.v1 import catalog_pb2, catalog_pb2_grpc
from nexus.inference.v1 import inference_pb2, inference_pb2_grpc
from nexus.lifecycle.v1 import lifecycle_pb2, lifecycle_pb2_grpc
from nexus_mesh.core import MeshError, Reason, Turns, give_small_blocks_back
from nexus_mesh.rpc import page_size, read_out, token_of, words_in
from nexus_operations import ENOUGH, SPECS, Shape, spec_of

from nexus_inference_adapters.contract import Event, JsonObject, Media, Parts, Progress, Text
from nexus_inference_adapters.host import Backend, Host, Lifecycle

__all__ = ["CatalogServicer", "InferenceServicer", "LifecycleServicer"]

BODY = msgspec.json.Decoder(JsonObject)
LARGE = 256 * 1024
"""Bytes of a request. Larger ones are read one at a time."""
OBJECTS, STREAMED = (Shape.WHOLE, Shape.CHUNKS), (Shape.CHUNKS, Shape.MEDIA)
"""Shapes of answers that are one object, and of those that come piece by piece."""
BESIDE = tuple(name for name in inference_pb2.Envelope.DESCRIPTOR.fields_by_name if name != "body")


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Runs requests on the backends of a host."""

    def __init__(self, host: Host, instance_id: str) -> None:
        self._host = host
        self._instance = instance_id
        self._turns = Turns()

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CompleteResponse:
        opening = self._opened(request.envelope)
        del request  # and with it the body's text
        envelope, body = await opening
        backend = self._host.named[envelope.backend]
        _check_has_no_files(envelope.operation)
        spec = spec_of(envelope.operation)
        if spec.shape not in OBJECTS:
            raise MeshError(Reason.INVALID_REQUEST, f"The answer to {spec.title} comes as a stream only.")
        completed = await backend.complete(envelope, body)
        return inference_pb2.CompleteResponse(
            body=completed.body, usage=completed.usage, served=self._served(envelope, backend)
        )

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        opening = self._opened(request.envelope)
        del request
        envelope, body = await opening
        backend = self._host.named[envelope.backend]
        spec = spec_of(envelope.operation)
        if spec.shape not in STREAMED:
            raise MeshError(Reason.INVALID_REQUEST, f"The answer to {spec.title} does not come as a stream.")
        served: inference_pb2.Served | None = self._served(envelope, backend)
        async with aclosing(backend.stream(envelope, body)) as events:
            async for event in events:
                message = _message(event)
                if served is not None:
                    message.served.CopyFrom(served)
                    served = None
                yield message

    async def Upload(
        self, request_iterator: AsyncIterator[inference_pb2.UploadRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.UploadResponse]:
        messages = aiter(request_iterator)
        first = await anext(messages, None)
        if first is None or not first.HasField("start"):
            await read_out(messages)
            raise MeshError(Reason.INVALID_REQUEST, "An upload begins with `start`.")
        envelope, body = await self._opened(first.start.envelope)
        backend, spec = self._host.named[envelope.backend], spec_of(envelope.operation)
        if spec.shape is not Shape.UPLOAD:
            raise MeshError(Reason.INVALID_REQUEST, f"{spec.title.capitalize()} does not come with files.")
        served: inference_pb2.Served | None = self._served(envelope, backend)
        parts = Parts(messages, spec.files)
        try:
            async with aclosing(backend.upload(envelope, body, parts, stream=first.start.stream)) as events:
                async for event in events:
                    message = _message(event)
                    if served is not None:
                        message.served.CopyFrom(served)
                        served = None
                    yield inference_pb2.UploadResponse(event=message)
        except MeshError:
            if not parts.are_whole:
                yield inference_pb2.UploadResponse(event=_message(Progress(ENOUGH)))
                await read_out(messages)
            raise

    async def CountTokens(
        self, request: inference_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CountTokensResponse:
        opening = self._opened(request.envelope)
        del request
        envelope, body = await opening
        backend = self._host.named[envelope.backend]
        count = await backend.count(envelope, body)
        return inference_pb2.CountTokensResponse(
            prompt_tokens=count.tokens,
            estimated=count.estimated,
            method=count.method,
            served=self._served(envelope, backend),
        )

    async def _opened(self, envelope: inference_pb2.Envelope) -> tuple[inference_pb2.Envelope, JsonObject]:
        """The envelope, without its body if that is large, and the request object in it. Raises INVALID_REQUEST."""
        if envelope.operation not in SPECS:
            raise MeshError(Reason.INVALID_REQUEST, "The envelope must say what kind of work to do.")
        if envelope.ByteSize() < LARGE:
            return envelope, _body(envelope.body)
        rest = inference_pb2.Envelope(**{name: getattr(envelope, name) for name in BESIDE})
        async with self._turns:
            text = await self._turns.step(getattr, envelope, "body")
            del envelope
            give_small_blocks_back()
            return rest, await self._turns.step(_body, text)

    def _served(self, envelope: inference_pb2.Envelope, backend: Backend) -> inference_pb2.Served:
        return inference_pb2.Served(
            model=backend.model_id(envelope.model), backend=backend.config.name, instance=self._instance
        )


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers from the last inspections."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def ListModels(
        self, request: catalog_pb2.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> catalog_pb2.ListModelsResponse:
        return _page(self._host, request)


class LifecycleServicer(lifecycle_pb2_grpc.LifecycleServiceServicer):
    """What is done with models besides running them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lifecycle = Lifecycle(host)

    async def Load(
        self, request: lifecycle_pb2.LoadRequest, context: grpc.aio.ServicerContext
    ) -> lifecycle_pb2.LoadResponse:
        model, size = await self._lifecycle.load(request.backend, request.model, context.time_remaining())
        return lifecycle_pb2.LoadResponse(model=model, size_bytes=size)

    async def Unload(
        self, request: lifecycle_pb2.UnloadRequest, context: grpc.aio.ServicerContext
    ) -> lifecycle_pb2.UnloadResponse:
        return lifecycle_pb2.UnloadResponse(
            model=await self._lifecycle.unload(request.backend, request.model)
        )

    async def Delete(
        self, request: lifecycle_pb2.DeleteRequest, context: grpc.aio.ServicerContext
    ) -> lifecycle_pb2.DeleteResponse:
        return lifecycle_pb2.DeleteResponse(
            model=await self._lifecycle.delete(request.backend, request.model)
        )

    async def Pull(
        self, request: lifecycle_pb2.PullRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[lifecycle_pb2.PullResponse]:
        async with aclosing(self._lifecycle.pull(request.backend, request.model)) as steps:
            async for step in steps:
                progress = lifecycle_pb2.PullProgress(
                    phase=step.phase, done_bytes=step.done, total_bytes=step.total
                )
                yield lifecycle_pb2.PullResponse(progress=progress)
        yield lifecycle_pb2.PullResponse(finish=lifecycle_pb2.PullFinish(model=request.model))

    async def GetMemory(
        self, request: lifecycle_pb2.GetMemoryRequest, context: grpc.aio.ServicerContext
    ) -> lifecycle_pb2.GetMemoryResponse:
        return lifecycle_pb2.GetMemoryResponse(devices=self._host.devices())


def _body(text: str) -> JsonObject:
    """The request object. Raises INVALID_REQUEST."""
    try:
        return BODY.decode(text)
    except (ValueError, RecursionError):
        raise MeshError(Reason.INVALID_REQUEST, "The envelope's body is not a JSON object.") from None


def _check_has_no_files(operation: int) -> None:
    if (spec := spec_of(operation)).files:
        raise MeshError(
            Reason.INVALID_REQUEST, f"{spec.title.capitalize()} comes with files: send it by Upload."
        )


def _message(event: Event) -> inference_pb2.StreamResponse:
    if isinstance(event, list):
        return inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=event))
    if isinstance(event, Progress):
        told = inference_pb2.Progress(phase=event.phase, done=event.done, total=event.total, unit=event.unit)
        return inference_pb2.StreamResponse(progress=told)
    if isinstance(event, Text):
        return inference_pb2.StreamResponse(
            answer=inference_pb2.Answer(body=event.body, mime_type=event.mime_type)
        )
    if isinstance(event, Media):
        media = inference_pb2.Media(
            data=event.data,
            index=event.index,
            preview=event.preview,
            mime_type=event.mime_type,
            size=event.size,
            last=event.last,
            json=event.json,
        )
        return inference_pb2.StreamResponse(media=media)
    return inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=event.usage))


def _page(host: Host, request: catalog_pb2.ListModelsRequest) -> catalog_pb2.ListModelsResponse:
    """One page, by backend, then id. The token names the last row of the page before."""
    size = page_size(request.page_size)
    rows = sorted(_offered(host, request.backend), key=_place)
    if request.page_token:
        after = tuple(words_in(request.page_token, 2))
        rows = [row for row in rows if _place(row) > after]
    token = token_of(*_place(rows[size - 1])) if len(rows) > size else ""
    return catalog_pb2.ListModelsResponse(models=rows[:size], next_page_token=token)


def _offered(host: Host, backend: str) -> list[catalog_pb2.CatalogModel]:
    chosen = [one for one in host.backends if backend in ("", one.config.name)]
    if backend and not chosen:
        raise MeshError(Reason.OBJECT_NOT_FOUND, f"There is no backend {backend[:64]!r} here.")
    return [
        catalog_pb2.CatalogModel(backend=one.config.name, model=offer.model)
        for one in chosen
        for offer in one.inspection.offers
    ]


def _place(row: catalog_pb2.CatalogModel) -> tuple[str, str]:
    return row.backend, row.model.id
