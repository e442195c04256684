"""The files of a request at an adapter: read once, in order, or kept in a private file where an engine needs one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Times, UploadError, UploadOrder

__all__ = ["Kept", "Parts"]

Step = inference_pb2.Part | bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One file, on disk without a name: nobody else can open it, and it is gone with its last reader.

    `part` is what its sender says of it.
    """

    part: inference_pb2.Part
    file: IO[bytes]
    size: int


class Parts:
    """What comes after `start`. Whatever breaks the contract, or was cut off, is INVALID_REQUEST."""

    def __init__(
        self, messages: AsyncIterator[inference_pb2.UploadRequest], wanted: Mapping[str, Times]
    ) -> None:
        self._messages = messages
        self._order = UploadOrder(wanted)

    async def steps(self) -> AsyncGenerator[Step, None]:
        """A file begins, or the next bytes of it, at most 64 KiB. Ends only when all of them are whole."""
        try:
            async for message in self._messages:
                self._order.hear(message)
                match message.WhichOneof("step"):
                    case "chunk":
                        yield message.chunk
                    case "part":
                        yield message.part
                    case _:
                        break
            self._order.closed()
        except UploadError as error:
            raise MeshError(Reason.INVALID_REQUEST, str(error), metadata={"param": "file"}) from None

    @property
    def are_whole(self) -> bool:
        """Whether all of them have come."""
        return self._order.whole

    @asynccontextmanager
    async def kept(self, most: int) -> AsyncGenerator[dict[str, list[Kept]], None]:
        """All files by what they are for. Raises REQUEST_TOO_LARGE beyond `most` bytes of all together."""
        async with AsyncExitStack() as stack:
            found: list[Kept] = []
            async for step in self.steps():
                if self._order.size > most:
                    raise MeshError(
                        Reason.REQUEST_TOO_LARGE,
                        f"This backend takes files of {most // (1024 * 1024)} MB at most.",
                        metadata={"param": "file"},
                    )
                if isinstance(step, bytes):
                    await asyncio.to_thread(found[-1].file.write, step)
                else:
                    file = stack.enter_context(tempfile.TemporaryFile(prefix="nexus-"))  # noqa: SIM115 - the stack ends it
                    found.append(Kept(step, file, 0))
            by_name: dict[str, list[Kept]] = {}
            for each in found:
                await asyncio.to_thread(each.file.flush)
                size = each.file.seek(0, 2)
                each.file.seek(0)
                by_name.setdefault(each.part.name, []).append(Kept(each.part, each.file, size))
            yield by_name
