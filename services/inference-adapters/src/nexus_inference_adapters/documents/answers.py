"""What was read of a document, in the forms it can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from nexus.inference.v1 import inference_pb2

from nexus_inference_adapters.contract import Event, Finish, JsonObject, Text, Work

__all__ = ["Line", "Page", "Reading"]

FORMATS = {"markdown": ("markdown", "text/markdown"), "text": ("text", "text/plain")}
"""What each page gives, and the media type, of answers that are no JSON."""


@dataclass(frozen=True, slots=True)
class Line:
    """Confidence from 0 to 1, None where nobody tells; corners in pixels of the page, clockwise from the top left."""

    text: str
    confidence: float | None
    polygon: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Page:
    """`source`: "ocr", "text_layer", "vision", or "mixed" where it is not told. `lines` None: nobody tells where they
    stand."""

    index: int
    markdown: str
    text: str
    source: str
    width: int = 0
    height: int = 0
    dpi: int = 0
    lines: Sequence[Line] | None = None

    @property
    def told(self) -> JsonObject:
        """As the answer has it: Mistral's keys, and ours beside them."""
        size = {"dpi": self.dpi, "height": self.height, "width": self.width} if self.width else None
        return {
            "index": self.index,
            "markdown": self.markdown,
            "images": [],
            "dimensions": size,
            "text": self.text,
            "source": self.source,
            "lines": None if self.lines is None else [_line(line) for line in self.lines],
        }


def _line(line: Line) -> JsonObject:
    confidence = None if line.confidence is None else round(line.confidence, 4)
    corners = [[round(x, 1), round(y, 1)] for x, y in line.polygon]
    return {"text": line.text, "confidence": confidence, "polygon": corners}


@dataclass(slots=True)
class Reading:
    """The pages of one request as they come. `size`: bytes of the document."""

    work: Work
    size: int
    pages: list[Page] = field(default_factory=list)

    def add(self, page: Page, total: int) -> list[Event]:
        """What there is to say of another page: `total` = of all."""
        self.pages.append(page)
        if not self.work.stream:
            return []
        event = {"type": "ocr.page", "done": len(self.pages), "total": total, "page": page.told}
        return [[msgspec.json.encode(event).decode()]]

    def end(self, prompt_tokens: int = 0, completion_tokens: int = 0) -> list[Event]:
        """What there is to say at the good end. Tokens: of models that count in them."""
        about: JsonObject = {
            "model": self.work.offered,
            "usage_info": {"pages_processed": len(self.pages), "doc_size_bytes": self.size},
        }
        finish = Finish(
            inference_pb2.Usage(
                prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, input_pages=len(self.pages)
            )
        )
        if self.work.stream:
            return [[msgspec.json.encode({"type": "ocr.done", **about}).decode()], finish]
        wanted = FORMATS.get(self.work.body.get("format") or "json")
        if wanted is None:
            whole = {"pages": [page.told for page in self.pages], **about}
            return [Text(msgspec.json.encode(whole).decode()), finish]
        part, mime_type = wanted
        texts = [getattr(page, part) for page in self.pages]
        return [Text("\n\n".join(texts) + "\n", mime_type), finish]
