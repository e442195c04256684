"""GET links/{token}: a file that was kept, for whoever has the link, all of it or a range."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from urllib.parse import quote

from nexus.store.v1 import store_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.files import Link, Reading, no_link
from nexus_gateway.http import EdgeError, Exchange, Handler, Header

__all__ = ["KeepsFiles", "link_handler"]

RANGE = re.compile(rb"bytes=(\d{1,18})?-(\d{1,18})?")
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
SHOWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "audio/", "video/")
"""What a browser may show; the rest it saves."""


class Reads(Protocol):
    """What is needed of the store."""

    async def opened(self, token: str) -> Link: ...

    async def describe(self, tenant: str, object_id: str) -> store_pb2.Object: ...

    def get(
        self, tenant: str, object_id: str, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[Reading]: ...


class KeepsFiles(Protocol):
    """The part of the pipeline that is used here."""

    @property
    def files(self) -> Reads: ...


def link_handler(pipeline: KeepsFiles) -> Handler:
    """What is wrong with a link is never told: an old one, another's and none are alike."""

    async def handle(exchange: Exchange) -> None:
        try:
            await send(exchange, pipeline.files)
        except MeshError as error:
            if error.reason is Reason.OBJECT_NOT_FOUND and not exchange.status:
                raise no_link() from None
            raise

    async def send(exchange: Exchange, files: Reads) -> None:
        link = await files.opened(exchange.scope["path_params"]["token"])
        one = await files.describe(link.tenant, link.id)
        first, length, status = _wanted(exchange, one)
        headers = _headers(one, link)
        if status == 206:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (first, first + length - 1, one.size)))
        kind = one.mime_type if MEDIA_TYPE.fullmatch(one.mime_type) else "application/octet-stream"
        if exchange.scope["method"] == "HEAD" or not length:
            await exchange.start_file(status, kind.encode(), length, headers)
            await exchange.end(b"")
            return
        async with files.get(link.tenant, link.id, first, length) as reading:
            await exchange.start_file(status, kind.encode(), length, headers)
            await _copy(exchange, reading.pieces)

    return handle


async def _copy(exchange: Exchange, pieces: AsyncIterator[bytes]) -> None:
    """The last piece ends the answer, once it is known that it is the last."""
    held = b""
    async for piece in pieces:
        if held:
            await exchange.write(held)
        held = piece
    await exchange.end(held)


def _wanted(exchange: Exchange, one: store_pb2.Object) -> tuple[int, int, int]:
    """The first byte, how many, and the status. Several ranges at once are answered with all of it, as HTTP allows."""
    asked = RANGE.fullmatch(exchange.fields.get(b"range", b"").replace(b" ", b""))
    if asked is None or asked[1] is asked[2] is None or not _is_still(exchange, one):
        return 0, one.size, 200
    if asked[1] is None:
        first, last = max(0, one.size - int(asked[2])), one.size - 1
    else:
        first = int(asked[1])
        last = one.size - 1 if asked[2] is None else min(int(asked[2]), one.size - 1)
        if asked[2] is not None and int(asked[2]) < first:
            return 0, one.size, 200
    if first >= one.size:
        raise EdgeError(
            "range_not_satisfiable",
            f"The file has {one.size} bytes.",
            [(b"content-range", b"bytes */%d" % one.size)],
        )
    return first, last - first + 1, 206


def _is_still(exchange: Exchange, one: store_pb2.Object) -> bool:
    """Whether what a client has the beginning of is this."""
    return exchange.fields.get(b"if-range", _tag(one)) == _tag(one)


def _tag(one: store_pb2.Object) -> bytes:
    return b'"' + one.sha256.hex().encode() + b'"'


def _headers(one: store_pb2.Object, link: Link) -> list[Header]:
    """Nothing in a file that somebody had made may run as a page of this endpoint."""
    way = "inline" if one.mime_type.startswith(SHOWN) else "attachment"
    name = f"; filename*=UTF-8''{quote(one.filename, safe='')}" if one.filename else ""
    return [
        (b"accept-ranges", b"bytes"),
        (b"etag", _tag(one)),
        (b"cache-control", b"private, max-age=%d, immutable" % max(0, link.expires - int(time.time()))),
        (b"content-disposition", f"{way}{name}".encode()),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
