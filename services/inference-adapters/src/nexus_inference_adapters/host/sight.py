"""OCR by models that chat and see: each page is a picture in a chat of its own, and what is said is its Markdown.

Nobody says where a line stands, so there are no lines. An answer that was cut short is an error, never a short page.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import msgspec
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Adapter, Event, Finish, JsonObject, Patience, Progress, Work
from nexus_inference_adapters.documents import (
    MOST_BYTES,
    Documents,
    Look,
    Page,
    Reading,
    Sheet,
    page_of,
)
from nexus_inference_adapters.vocabulary import CHAT, OCR

__all__ = ["let_read", "read_by_sight", "reads_by_sight"]

SIDE = 1600
"""Pixels: what such models look at closely at most, or less."""
HEEDED = frozenset({"model", "prompt", "pages", "languages", "format", "text_layer", "stream"})
ASKED = (
    "Transcribe all text on this page as Markdown, in reading order and in its own language. Answer with the text of "
    "the page alone: no comment, no translation, no code fence. For an empty page answer nothing."
)
FENCE = re.compile(r"\A\s*```(?:markdown|md|text)?[ \t]*\n(.*)\n```\s*\Z", re.DOTALL)


def let_read(model: model_pb2.Model) -> None:
    """Adds OCR to what a model does that chats and sees."""
    sees = model_pb2.CAPABILITY_VISION in model.capabilities
    if sees and CHAT in model.operations and OCR not in model.operations:
        model.operations.append(OCR)


def reads_by_sight(model: model_pb2.Model, operation: int) -> bool:
    return operation == OCR and CHAT in model.operations


async def read_by_sight(
    adapter: Adapter, documents: Documents, work: Work, patience: Patience
) -> AsyncGenerator[Event, None]:
    """The events of an OCR request. Raises UNSUPPORTED_PARAMETER, INVALID_REQUEST, UPSTREAM_MALFORMED."""
    if passed_over := sorted(work.body.keys() - HEEDED - work.granted):
        name = passed_over[0][:64]
        raise MeshError(
            Reason.UNSUPPORTED_PARAMETER,
            f"A model that reads by sight does not heed {name!r}; leave it out.",
            metadata={"param": name},
        )
    if work.parts is None:
        raise MeshError(Reason.INVALID_REQUEST, "A document comes with the request: send it by Upload.")
    look = Look(SIDE, "jpeg", work.body.get("pages"), work.body.get("text_layer") != "ignore")
    async with work.parts.kept(MOST_BYTES) as files:
        [file] = files["file"]
        reading, said = Reading(work, file.size), _Said()
        async with aclosing(documents.sheets(file, look, patience)) as sheets:
            async for sheet in sheets:
                if sheet.form == "text":
                    page = page_of(sheet, sheet.data)
                else:
                    said.begin()
                    async with aclosing(adapter.stream(_chat(work, sheet), patience)) as events:
                        async for event in events:
                            if said.heard(event):
                                yield Progress("reading", sheet.done, sheet.total, "pages")
                    page = said.page(sheet)
                for event in reading.add(page, sheet.total):
                    yield event
                yield Progress("reading", sheet.done + 1, sheet.total, "pages")
        for event in reading.end(said.prompt_tokens, said.completion_tokens):
            yield event


class _Said:
    """What a model says of one page after the other."""

    def __init__(self) -> None:
        self.prompt_tokens = self.completion_tokens = 0
        self._parts: list[str] = []
        self._end = ""

    def begin(self) -> None:
        self._parts, self._end = [], ""

    def heard(self, event: Event) -> bool:
        """Whether it is a sign of life and no more."""
        if isinstance(event, list):
            for text in event:
                for choice in msgspec.json.decode(text, type=JsonObject)["choices"]:
                    self._parts.append((choice.get("delta") or {}).get("content") or "")
                    self._end = choice.get("finish_reason") or self._end
        elif isinstance(event, Finish) and event.usage is not None:
            self.prompt_tokens += event.usage.prompt_tokens
            self.completion_tokens += event.usage.completion_tokens
        return isinstance(event, Progress)

    def page(self, sheet: Sheet) -> Page:
        if self._end != "stop":
            raise MeshError(
                Reason.UPSTREAM_MALFORMED,
                f"The model stopped in the middle of page {sheet.page} ({self._end or 'it does not say why'}): nothing "
                "is made of half a page. Ask a model with a longer context or answer.",
            )
        text = "".join(self._parts)
        fenced = FENCE.match(text)
        markdown = (fenced[1] if fenced else text).strip()
        return Page(sheet.page, markdown, markdown, "vision", sheet.width, sheet.height, sheet.dpi)


def _chat(work: Work, sheet: Sheet) -> Work:
    asked = work.body.get("prompt") or ASKED
    if languages := work.body.get("languages"):
        asked += f" Languages of the document: {', '.join(languages)}."
    url = f"data:image/jpeg;base64,{base64.b64encode(sheet.data).decode()}"
    content = [{"type": "text", "text": asked}, {"type": "image_url", "image_url": {"url": url}}]
    body: JsonObject = {"model": work.offered, "messages": [{"role": "user", "content": content}]}
    return replace(work, operation=CHAT, body=body, parts=None, stream=True)
