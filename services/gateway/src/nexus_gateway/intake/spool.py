"""Files kept on disk on their way: of a request whose form says behind them what is to be done with them, and of small
ones, so that they can be sent once more when whoever was asked fails."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import LARGEST_CHUNK

from nexus_gateway.core import Files, Step
from nexus_gateway.intake.intake import Hold

__all__ = ["Spool"]

RETRY_AFTER = 5.0


class Spool(Files):
    """One file without a name, that nobody else can open; it is gone with this process, however that ends.

    `hold`: of the disk, let go of by close().
    """

    def __init__(self, hold: Hold, folder: Path | None = None) -> None:
        self._hold = hold
        try:
            self._file = tempfile.TemporaryFile(dir=folder, prefix="nexus-")  # noqa: SIM115 - close() ends it
        except OSError:
            raise _no_room() from None
        self._parts: list[inference_pb2.Part] = []
        self._size = 0

    def begin(self, part: inference_pb2.Part) -> None:
        """Another file."""
        begun = inference_pb2.Part()
        begun.CopyFrom(part)
        begun.size = 0
        self._parts.append(begun)

    async def write(self, piece: bytes | bytearray) -> None:
        """The next bytes of the last one. Raises MeshError when there is no room."""
        await self._hold.reach(self._size + len(piece))
        try:
            await asyncio.to_thread(self._file.write, piece)
        except OSError:
            raise _no_room() from None
        self._size += len(piece)
        self._parts[-1].size += len(piece)

    async def steps(self) -> AsyncGenerator[Step, None]:
        await asyncio.to_thread(self._file.seek, 0)
        for part in self._parts:
            yield part
            left = part.size
            while left:
                piece = await asyncio.to_thread(self._file.read, min(left, LARGEST_CHUNK))
                if not piece:
                    raise MeshError(Reason.INTERNAL, "A file that was kept on its way is not whole any more.")
                left -= len(piece)
                yield piece

    @property
    def can_be_sent_again(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        self._hold.release()


def _no_room() -> MeshError:
    return MeshError(
        Reason.OVERLOAD,
        "This gateway has no room on its disk to keep the file on its way. Put the form's fields before the file, so "
        "that it need not be kept, or try again later; `spool` under [gateway] names the folder.",
        retry_after=RETRY_AFTER,
    )
