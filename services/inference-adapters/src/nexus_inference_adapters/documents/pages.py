"""A document as its pages, as whoever reads them sees it."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.children import MEDIA, OUTPUT, Workers
from nexus_inference_adapters.contract import Kept, Patience

__all__ = ["MOST_BYTES", "Documents", "Look", "Sheet"]

MOST_BYTES = 128 * 1024 * 1024
OPENER = Path(__file__).with_name("opening.py")
ENDED_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Look:
    """How pages are wanted. `side`: pixels of the longer side at most; `form`: what the pixels come as."""

    side: int
    form: Literal["pixels", "jpeg"]
    pages: Sequence[int] | None = None
    """By number, from 0; None = all."""
    text_layer: bool = True
    """Whether a PDF's own text will do where it is all there is on a page."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page to be read. `data`: three bytes a pixel, a JPEG, or the lines of its own text as JSON, by `form`.

    `width` and `height` are its own; the picture has so many pixels divided by `scale`.
    """

    data: bytes
    page: int
    done: int
    total: int
    form: Literal["pixels", "jpeg", "text"]
    width: int
    height: int
    dpi: int
    scale: float

    @property
    def pictured(self) -> tuple[int, int]:
        """Pixels of the picture: width, height."""
        return max(1, round(self.width / self.scale)), max(1, round(self.height / self.scale))


class Documents:
    """Opens documents, each in a process of its own that ends with it."""

    def __init__(self) -> None:
        self._workers = Workers([str(OPENER)], idle=0.0)

    @property
    def processes(self) -> list[int]:
        """Ids of those that are open."""
        return self._workers.running

    async def close(self) -> None:
        await self._workers.close()

    async def sheets(self, file: Kept, look: Look, patience: Patience) -> AsyncGenerator[Sheet, None]:
        """The pages, one after the other. Raises INVALID_REQUEST for what is no document, or none that is taken."""
        order: dict[str, object] = {
            "size": file.size,
            "pages": None if look.pages is None else list(look.pages),
            "text_layer": look.text_layer,
            "side": look.side,
            "form": look.form,
        }
        async with self._workers.job(order) as job:
            try:
                await patience.wait(job.pour(file.file))
                facts: dict[str, Any] = {}
                data = bytearray()
                while True:
                    frame = await patience.wait(job.read())
                    if frame.kind == OUTPUT:
                        facts, data = frame.facts, bytearray()
                    elif frame.kind == MEDIA:
                        data += frame.data
                        if len(data) == facts["size"]:
                            yield Sheet(bytes(data), **{name: facts[name] for name in TOLD})
                    elif job.ended:
                        break
            except EOFError:
                raise _ended(await job.signal()) from None
        if why := frame.facts.get("refused") or frame.facts.get("problem"):
            raise _refused(f"The document {why}.")


TOLD = ("page", "done", "total", "form", "width", "height", "dpi", "scale")
"""What is told of each."""


def _ended(number: int) -> MeshError:
    """A limit, or a fault of the library, ends it by a signal of its own; SIGKILL comes from elsewhere."""
    if number in ENDED_BY_OTHERS:
        return MeshError(
            Reason.BACKEND_LOST,
            "The process that opens documents was ended in the middle. Retry the request.",
        )
    return _refused(
        "The document cannot be opened: it takes more time or memory than a document may, or is damaged."
    )


def _refused(message: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, message, metadata={"code": "invalid_file", "param": "file"})
