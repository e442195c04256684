"""Pictures of servers made sure of: a process with limits decodes each, and makes the format of it that was asked."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.children import MEDIA, Workers
from nexus_inference_adapters.contract import Kept, Patience, malformed
from nexus_inference_adapters.pictures.orders import Order

__all__ = ["Converter", "Picture"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole file, and what is in it."""

    data: bytes
    width: int
    height: int
    background: Literal["opaque", "transparent"] = "opaque"

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


class Converter:
    """Of one request, as an async context manager: its process works for no other, and ends with it."""

    def __init__(self, order: Order, patience: Patience) -> None:
        self._order = order
        self._patience = patience
        self._workers = Workers([str(Path(__file__).with_name("converting.py"))])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._workers.close()

    async def read(self, file: Kept) -> Picture:
        """What came with the request, as PNG. Raises INVALID_REQUEST for what `convert` does not take."""
        data = await asyncio.to_thread(file.file.read)
        try:
            return await self.convert(data, "png")
        except MeshError as error:
            told = error.message.replace("The backend's picture", f"'{file.part.name}'", 1)
            facts = {"param": file.part.name, "code": "invalid_image"}
            raise MeshError(Reason.INVALID_REQUEST, told, metadata=facts) from None

    async def convert(self, data: bytes, form: str = "") -> Picture:
        """`data`: PNG, JPEG or WebP; `form`: another than was asked for. Raises UPSTREAM_MALFORMED for what is none, is
        cut, or is too large to decode."""
        order = {
            "picture": b64encode(data).decode(),
            "format": form or self._order.form,
            "quality": self._order.compression,
        }
        made = bytearray()
        facts: dict[str, object] = {}
        try:
            async with self._workers.job(order) as job:
                while not job.ended:
                    frame = await self._patience.wait(job.read())
                    if frame.kind == MEDIA:
                        made += frame.data
                    else:
                        facts |= frame.facts
        except EOFError:
            raise malformed("The backend's picture cannot be decoded within the limits there are.") from None
        if "problem" in facts:
            raise malformed(f"The backend's picture {facts['problem']}.")
        background: Literal["opaque", "transparent"] = "transparent" if facts["transparent"] else "opaque"
        return Picture(bytes(made), cast("int", facts["width"]), cast("int", facts["height"]), background)
