"""Events of Wyoming: a line of JSON, more JSON where the line tells its length, and bytes where it tells theirs.

The `wyoming` package reads whatever length it is told, and takes a line that is none for a good end: hence this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from nexus_mesh.core import UNREACHED, MeshError, Reason

from nexus_inference_adapters.contract import JsonObject, malformed

__all__ = ["Connection", "Event", "connected"]

MOST_LINE = 256 * 1024
MOST_DATA = 4 * 1024 * 1024
MOST_PAYLOAD = 4 * 1024 * 1024
VERSION = "1.10"


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    data: JsonObject = field(default_factory=dict)
    payload: bytes = b""


class _Head(msgspec.Struct):
    type: str
    data: JsonObject = msgspec.field(default_factory=dict)
    data_length: int | None = None
    payload_length: int | None = None


class Connection:
    """One conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, event: Event) -> None:
        """Raises BACKEND_LOST."""
        data = msgspec.json.encode(event.data) if event.data else b""
        head: JsonObject = {"type": event.type, "version": VERSION}
        head |= {"data_length": len(data)} if data else {}
        head |= {"payload_length": len(event.payload)} if event.payload else {}
        try:
            self._writer.write(msgspec.json.encode(head) + b"\n" + data + event.payload)
            await self._writer.drain()
        except OSError:
            raise _lost() from None

    async def read(self) -> Event:
        """The next one. Raises BACKEND_LOST at the end of the conversation, UPSTREAM_MALFORMED."""
        try:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise _lost()
            head = msgspec.json.decode(line, type=_Head)
            data = head.data
            if head.data_length:
                more = await self._exactly(head.data_length, MOST_DATA)
                data = data | msgspec.json.decode(more, type=JsonObject)
            payload = await self._exactly(head.payload_length or 0, MOST_PAYLOAD)
        except (ValueError, RecursionError):  # of the decoder, and of a line that is longer than any
            raise malformed("The backend's answer is not Wyoming.") from None
        except (asyncio.IncompleteReadError, OSError):
            raise _lost() from None
        return Event(head.type, data, payload)

    async def _exactly(self, length: int, most: int) -> bytes:
        if not 0 <= length <= most:
            raise malformed("The backend's answer tells a length that no event has.")
        return await self._reader.readexactly(length)


@asynccontextmanager
async def connected(url: str, seconds: float) -> AsyncIterator[Connection]:
    """`url`: tcp://HOST:PORT. Leaving it ends the conversation. Raises BACKEND_DOWN."""
    place = urlsplit(url)
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=MOST_LINE)
    except (OSError, TimeoutError):
        raise MeshError(
            Reason.BACKEND_DOWN,
            "The backend could not be reached; is it running at its address?",
            metadata={UNREACHED: "1"},
        ) from None
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def _lost() -> MeshError:
    return MeshError(Reason.BACKEND_LOST, "The backend closed the connection before its answer was complete.")
