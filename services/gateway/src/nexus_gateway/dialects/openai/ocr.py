"""The answer of POST ocr, in the shape of Mistral's API with text and lines beside."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core import InferenceRequest

__all__ = [
    "PAGE",
    "Dimensions",
    "Line",
    "Page",
    "Reading",
    "UsageInfo",
    "checked_answer",
]

PAGE = "ocr.page"
"""The event of a page that has been read; `ocr.done` is the last."""
MEDIA = {"markdown": "text/markdown", "text": "text/plain"}
"""Media types of answers that are no JSON, by `format`."""


class Dimensions(Struct):
    """Of a page as it was looked at, in pixels."""

    dpi: int
    height: int
    width: int


class Line(Struct):
    """Confidence from 0 to 1, null where nobody tells; the corners of `polygon` in pixels of the page."""

    text: str
    confidence: float | None
    polygon: list[list[float]]


class Page(Struct):
    """`index` counts from 0. `source`: what was read, "mixed" where nobody tells. `lines` is null where nobody tells of
    them."""

    index: int
    markdown: str
    dimensions: Dimensions | None
    text: str
    source: Literal["ocr", "text_layer", "vision", "mixed"]
    lines: list[Line] | None = None
    images: list[Raw] = []


class UsageInfo(Struct):
    pages_processed: int
    doc_size_bytes: int | None = None


class Reading(Struct):
    """The pages that were asked for."""

    pages: list[Page]
    model: str
    usage_info: UsageInfo


def checked_answer(request: InferenceRequest, answer: inference_pb2.Answer) -> tuple[bytes, bytes]:
    """The body and its media type. Raises UPSTREAM_MALFORMED when it is not what was asked for."""
    wanted = request.body.get("format", "json")
    if (answer.mime_type or "application/json") != MEDIA.get(wanted, "application/json"):
        raise _malformed(f"The backend was asked for {wanted}, and sent something else.")
    body = answer.body.encode()
    if wanted in MEDIA:
        return body, f"{MEDIA[wanted]}; charset=utf-8".encode()
    try:
        found = msgspec.json.decode(body, type=Reading)
    except (ValueError, RecursionError):
        raise _malformed("The backend's answer is no reading of a document.") from None
    asked = request.body.get("pages")
    if not found.pages or (asked is not None and [page.index for page in found.pages] != asked):
        raise _malformed("The backend left out pages that were asked for.")
    return body, b"application/json"


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
