"""docling-serve: PDFs, office documents and pictures to Markdown, by its API of tasks.

A conversion goes on there when whoever asked has left: the API has no way to end one.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, Sequence
from pathlib import PurePath
from typing import Any, ClassVar

import msgspec
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Http,
    Inspection,
    JsonObject,
    Kept,
    Offer,
    Patience,
    Progress,
    Work,
    malformed,
)
from nexus_inference_adapters.documents import Line, Page, Reading
from nexus_inference_adapters.vocabulary import OCR

__all__ = ["Docling"]

MODEL = "docling"
MOST_BYTES = 32 * 1024 * 1024
"""It travels as base64 in one JSON object."""
LOOK_SECONDS = 1.0
DOTS = 72
"""To the inch: docling counts in points."""
UNDER_WAY = frozenset({"pending", "started"})
HEEDED: JsonObject = {
    "pages": {"type": "array"},
    "languages": {"type": "array", "items": {"type": "string"}},
    "format": {"enum": ["json", "markdown", "text"], "default": "json"},
    "text_layer": {"enum": ["auto", "ignore"], "default": "auto"},
    "stream": {"type": "boolean", "default": False},
}


class _Task(msgspec.Struct):
    task_id: str
    task_status: str
    task_position: int | None = None


class _Document(msgspec.Struct):
    md_content: str | None = None
    json_content: JsonObject | None = None


class _Result(msgspec.Struct):
    status: str
    document: _Document | None = None
    errors: list[JsonObject] = []


class Docling(Adapter):
    """One server. It decides itself where a PDF's own text will do, and does not tell."""

    kind: ClassVar[str] = "docling"

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http.with_key_in("X-Api-Key"))

    async def inspect(self) -> Inspection:
        seen = await self.http.look("GET", "/health")
        if seen.status != 200 or seen.dig("status") != "ok":
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, f"docling-serve answered {seen.status} to /health."
            )
        schema = {"type": "object", "properties": HEEDED, "additionalProperties": False}
        told = model_pb2.OperationParameters(operation=OCR, schema=msgspec.json.encode(schema).decode())
        model = model_pb2.Model(id=MODEL, operations=[OCR], parameters=[told], owner="docling", loaded=True)
        return Inspection(instance_pb2.STATE_ACTIVE, offers=[Offer(model, MODEL)])

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - as every kind
        raise MeshError(Reason.INVALID_REQUEST, "A document comes with the request: send it by Upload.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        if work.parts is None:
            await self.complete(work, patience)
            return
        mark = f"<!-- {secrets.token_hex(16)} -->"
        options = _options(work.body, mark)
        async with work.parts.kept(MOST_BYTES) as files:
            [file] = files["file"]
            reading = Reading(work, file.size)
            task = await self._submit(file, options, patience)
        while task.task_status in UNDER_WAY:
            patience.content_came()  # it is at work, by its own word
            yield Progress("converting" if task.task_status == "started" else "waiting")
            await patience.wait(asyncio.sleep(LOOK_SECONDS))
            told = await self.http.fetch(f"/v1/status/poll/{task.task_id}", patience)
            task = _decoded(told, _Task)
        result = _decoded(await self.http.fetch(f"/v1/result/{task.task_id}", patience), _Result)
        pages = _pages(_whole(result), mark, work.body)
        for page in pages:
            for event in reading.add(page, len(pages)):
                yield event
        for event in reading.end():
            yield event

    async def _submit(self, file: Kept, options: JsonObject, patience: Patience) -> _Task:
        data = await asyncio.to_thread(file.file.read)
        name = PurePath(file.part.filename).name or _named(data)
        source = {"kind": "file", "base64_string": base64.b64encode(data).decode(), "filename": name}
        body = {"sources": [source], "options": options}
        async with self.http.post("/v1/convert/source/async", body, patience) as answer:
            task = _decoded(await answer.read(), _Task)
        if not task.task_id.replace("-", "").isalnum():
            raise malformed("docling-serve named its task by something that is no name.")
        return task


def _named(data: bytes) -> str:
    return "document.pdf" if data.startswith(b"%PDF-") else "document"


def _options(body: JsonObject, mark: str) -> JsonObject:
    """Raises INVALID_REQUEST for pages that are not one range: it takes no others."""
    options: JsonObject = {
        "to_formats": ["md", "json"],
        "do_ocr": True,
        "force_ocr": body.get("text_layer") == "ignore",
        "image_export_mode": "placeholder",
        "md_page_break_placeholder": mark,
    }
    if languages := body.get("languages"):
        options["ocr_lang"] = languages
    if pages := body.get("pages"):
        if pages != list(range(pages[0], pages[-1] + 1)):
            raise MeshError(
                Reason.INVALID_REQUEST,
                "'pages' must be one range, such as '2-5': docling takes no others.",
                metadata={"param": "pages", "code": "invalid_value"},
            )
        options["page_range"] = [pages[0] + 1, pages[-1] + 1]
    return options


def _whole(result: _Result) -> _Document:
    """What was converted. It says in the body alone whether that is all; half of a document is none."""
    if result.status == "success" and result.document is not None:
        return result.document
    why = next((str(each.get("error_message", ""))[:200] for each in result.errors), "")
    said = f" It says: {why}" if why.isprintable() and why else ""
    if result.status == "partial_success":
        raise MeshError(
            Reason.UPSTREAM_ERROR,
            f"docling read a part of the document only, and half is not handed on.{said}",
        )
    raise MeshError(
        Reason.INVALID_REQUEST,
        f"docling cannot read the document.{said}",
        metadata={"code": "invalid_file", "param": "file"},
    )


def _pages(document: _Document, mark: str, body: JsonObject) -> list[Page]:
    """Raises UPSTREAM_MALFORMED when it does not tell what stands on which page."""
    told = document.json_content or {}
    known: dict[int, JsonObject] = {
        int(number): page for number, page in (told.get("pages") or {}).items() if str(number).isdigit()
    }
    lines = _lines(told, known)
    texts = [part.strip() for part in (document.md_content or "").split(mark)]
    wanted = body.get("pages")
    numbers = [number for number in sorted(known) if wanted is None or number - 1 in wanted] or [1]
    filled = [number for number in numbers if number in _filled(told)]
    if len(texts) == len(numbers):
        markdown = dict(zip(numbers, texts, strict=True))
    elif len(texts) == max(1, len(filled)):
        markdown = dict(zip(filled or numbers[:1], texts, strict=True))
    else:
        raise malformed("docling does not tell what stands on which page.")
    source = "ocr" if body.get("text_layer") == "ignore" else "mixed"
    return [
        Page(
            number - 1,
            markdown.get(number, ""),
            "\n".join(line.text for line in lines[number]) if number in lines else markdown.get(number, ""),
            source,
            *_size(known.get(number)),
            DOTS,
            lines.get(number),
        )
        for number in numbers
    ]


def _size(page: JsonObject | None) -> tuple[int, int]:
    size = (page or {}).get("size") or {}
    return round(size.get("width") or 0), round(size.get("height") or 0)


def _filled(told: JsonObject) -> set[int]:
    return {
        where["page_no"]
        for kind in ("texts", "tables", "pictures")
        for item in told.get(kind) or ()
        for where in item.get("prov") or ()
    }


def _lines(told: JsonObject, known: dict[int, JsonObject]) -> dict[int, list[Line]]:
    """Of each page of which it tells: what docling takes for one text."""
    found: dict[int, list[Line]] = {number: [] for number in known}
    for item in told.get("texts") or ():
        for where in item.get("prov") or ():
            number = where["page_no"]
            if number in found and item.get("text"):
                height = _size(known[number])[1]
                found[number].append(Line(item["text"], None, _corners(where["bbox"], height)))
    return found


def _corners(box: JsonObject, height: int) -> Sequence[tuple[float, float]]:
    top, bottom = box["t"], box["b"]
    if box.get("coord_origin", "BOTTOMLEFT") == "BOTTOMLEFT":
        top, bottom = height - top, height - bottom
    return (box["l"], top), (box["r"], top), (box["r"], bottom), (box["l"], bottom)


def _decoded(data: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError):
        raise malformed("docling-serve's answer is none that it is known for.") from None
