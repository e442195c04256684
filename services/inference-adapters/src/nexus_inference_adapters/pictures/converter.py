"""Pictures of servers made sure of: a process with limits decodes each, and makes the format of it that was asked."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from nexus_inference_adapters.contract import Patience, malformed
from nexus_inference_adapters.media import MEDIA, OUTPUT, Workers

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
    """For as long as nobody asks there is no process."""

    def __init__(self) -> None:
        self._workers = Workers([str(Path(__file__).with_name("converting.py"))])

    @property
    def processes(self) -> list[int]:
        """Ids of those that run now."""
        return self._workers.running

    async def close(self) -> None:
        await self._workers.close()

    async def convert(self, data: bytes, form: str, compression: int, patience: Patience) -> Picture:
        """`data`: PNG, JPEG or WebP. Raises UPSTREAM_MALFORMED for what is none, is cut, or is too large to decode."""
        order = {"picture": b64encode(data).decode(), "format": form, "quality": compression}
        made = bytearray()
        facts: dict[str, object] = {}
        try:
            async with self._workers.job(order) as job:
                while not job.ended:
                    frame = await patience.wait(job.read())
                    if frame.kind == MEDIA:
                        made += frame.data
                    elif frame.kind == OUTPUT or job.ended:
                        facts |= frame.facts
        except EOFError:
            raise malformed("The backend's picture cannot be decoded within the limits there are.") from None
        if "problem" in facts:
            raise malformed(f"The backend's picture is not whole: {facts['problem']}.")
        background: Literal["opaque", "transparent"] = "transparent" if facts["transparent"] else "opaque"
        return Picture(bytes(made), cast("int", facts["width"]), cast("int", facts["height"]), background)
