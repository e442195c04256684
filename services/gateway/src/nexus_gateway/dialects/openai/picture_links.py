"""The answer with response_format "url": each picture goes into the store as it comes, and is answered with a link.

Nothing is answered before all are kept, so what fails is a true status; what was kept until then goes again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress

from nexus.inference.v1 import inference_pb2
from nexus.store.v1 import store_pb2
from nexus_mesh.core import MeshError, addresses
from nexus_operations import PICTURES

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.openai.media import Outputs, malformed, unended
from nexus_gateway.dialects.openai.pictures import Facts, encode, facts_of, of_all, of_one
from nexus_gateway.dialects.own_headers import served_headers
from nexus_gateway.files import FileStore, New
from nexus_gateway.http import Exchange

__all__ = ["send_links"]

Messages = AsyncIterator[inference_pb2.StreamResponse]
PURPOSE = "image"
SPARE_SECONDS = 60
"""A picture lives longer than its link, so that who begins to read at the last moment gets all of it."""


async def send_links(
    exchange: Exchange, request: InferenceRequest, messages: Messages, files: FileStore
) -> None:
    """Returns when the answer was sent. Raises MeshError before any of it was."""
    pictures, tenant = _Pictures(messages, request), request.principal.tenant
    zone = await files.zone() or ""
    form = request.body["output_format"]
    kept: list[store_pb2.Object] = []
    data: list[dict[str, object]] = []
    try:
        while await pictures.begins():
            new = New(
                tenant=tenant,
                purpose=PURPOSE,
                filename=f"picture-{len(kept) + 1}.{form}",
                mime_type=PICTURES[form],
                seconds=files.link_seconds + SPARE_SECONDS,
                zone=zone,
            )
            kept.append(await files.put(new, pictures.pieces()))
            link = _origin(exchange) + await files.link(kept[-1], tenant)
            data.append({"url": link, **of_one(pictures.facts)})
        told = of_all(request, pictures.facts, pictures.finish)
        body = encode({"created": int(time.time()), "data": data, **told})
    except BaseException:
        for one in kept:
            with suppress(MeshError):  # it goes by itself later
                await files.delete(tenant, one.id)
        raise
    await exchange.respond(200, body, served_headers(pictures.served))


def _origin(exchange: Exchange) -> str:
    """Where the client found us: only itself hears of it."""
    proto = exchange.fields.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
    scheme = proto if proto in ("http", "https") else exchange.scope["scheme"]
    host = exchange.fields.get(b"host", b"").decode("latin-1")
    if not host:
        name, port = exchange.scope["server"]
        host = addresses.join(name, port)
    return f"{scheme}://{host}/v1"


class _Pictures:
    """The pictures of an answer, one after the other, each read as it is sent on."""

    def __init__(self, messages: Messages, request: InferenceRequest) -> None:
        self.served = inference_pb2.Served()
        self.facts = Facts()
        self.finish = inference_pb2.Finish()
        self._outputs = Outputs(PICTURES[request.body["output_format"]], request.answers)
        self._coming = self._media(messages)
        self._first: inference_pb2.Media | None = None

    async def begins(self) -> bool:
        """Whether there is another one. Raises UPSTREAM_MALFORMED when they are not all there."""
        self._first = await anext(self._coming, None)
        return self._first is not None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes of the one that has begun."""
        media = self._first
        while media is not None:
            if media.data:
                yield media.data
            if media.last:
                self.facts = facts_of(media.json)
                return
            media = await anext(self._coming, None)
        raise unended()

    async def _media(self, messages: Messages) -> AsyncIterator[inference_pb2.Media]:
        some = False
        async for message in messages:
            if message.HasField("served"):
                self.served = message.served
            if message.HasField("media"):
                for media in self._outputs.take(message.media):
                    if not media.HasField("preview"):  # nobody has asked for one
                        some = True
                        yield media
            elif message.HasField("finish"):
                self._outputs.finish()
                if not some:
                    raise malformed("The backend's answer has no picture in it.")
                self.finish = message.finish
                return
        raise unended()
