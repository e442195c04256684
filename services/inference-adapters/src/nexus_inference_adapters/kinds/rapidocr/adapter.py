"""The reader in the box: pages opened in one process, recognised in another, and neither there while nobody asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import msgspec
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import MEDIA, Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Http,
    Inspection,
    JsonObject,
    Need,
    Offer,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.documents import (
    MOST_BYTES,
    Documents,
    Look,
    Page,
    Reading,
    Sheet,
    page_of,
)
from nexus_inference_adapters.vocabulary import OCR, READER

__all__ = ["RapidOcr", "can_read"]

PLACES = 1
"""Documents at once: each keeps every core busy."""
SIDE = 2400
"""Pixels of a page's longer side: 200 dots an inch of A4 and letter."""
MODULE, WEIGHTS = "rapidocr", "models"
MISSING = (
    "It runs by RapidOCR, which is not installed here: `make ocr` in a checkout, "
    "`pip install rapidocr onnxruntime` beside NEXUS elsewhere; then start NEXUS again."
)
LANGUAGES = (
    *(
        "af",
        "az",
        "bs",
        "ca",
        "cs",
        "cy",
        "da",
        "de",
        "en",
        "es",
        "et",
        "eu",
        "fi",
        "fr",
        "ga",
        "gl",
        "hr",
        "hu",
        "id",
    ),
    *(
        "is",
        "it",
        "ja",
        "ku",
        "la",
        "lb",
        "lt",
        "lv",
        "mi",
        "ms",
        "mt",
        "nl",
        "no",
        "oc",
        "pl",
        "pt",
        "qu",
        "rm",
        "ro",
    ),
    *("sk", "sl", "sq", "sr-Latn", "sv", "sw", "tl", "tr", "uz", "vi", "zh", "zh-Hans", "zh-Hant"),
)
"""Of its weights, PP-OCRv6: it reads them all at once, and nobody need say which."""
HEEDED: Mapping[str, JsonObject] = {
    "pages": {"type": "array"},
    "languages": {"type": "array", "items": {"enum": [*LANGUAGES]}},
    "format": {"enum": ["json", "markdown", "text"], "default": "json"},
    "text_layer": {"enum": ["auto", "ignore"], "default": "auto"},
    "stream": {"type": "boolean", "default": False},
}


class RapidOcr(Adapter):
    """Its weights are those that its package carries."""

    kind: ClassVar[str] = "rapidocr"
    needs: ClassVar[Need] = "path"
    instead: ClassVar[str] = "It is in memory only while it reads."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._documents = Documents()
        self._workers = Workers([str(Path(__file__).with_name("recognising.py"))])

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that run now."""
        return [*self._documents.processes, *self._workers.running]

    async def close(self) -> None:
        await self._documents.close()
        await self._workers.close()

    async def inspect(self) -> Inspection:
        if not can_read():
            return Inspection(instance_pb2.STATE_UNHEALTHY, MISSING)
        schema = {"type": "object", "properties": HEEDED, "additionalProperties": False}
        told = model_pb2.OperationParameters(operation=OCR, schema=msgspec.json.encode(schema).decode())
        model = model_pb2.Model(
            id=self.config.model_name or READER,
            operations=[OCR],
            parameters=[told],
            owner="rapidai",
            loaded=bool(self._workers.running),
            license="Apache-2.0",
        )
        capacity = self.config.max_concurrency or PLACES
        return Inspection(instance_pb2.STATE_ACTIVE, offers=[Offer(model, READER)], capacity=capacity)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - as every kind
        raise MeshError(Reason.INVALID_REQUEST, "A document comes with the request: send it by Upload.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        _check_languages(work.body.get("languages") or ())
        if work.parts is None:
            await self.complete(work, patience)
            return
        look = Look(SIDE, "pixels", work.body.get("pages"), work.body.get("text_layer") != "ignore")
        async with work.parts.kept(MOST_BYTES) as files:
            [file] = files["file"]
            reading = Reading(work, file.size)
            yield Progress("opening")
            async with aclosing(self._documents.sheets(file, look, patience)) as sheets:
                async for sheet in sheets:
                    async with aclosing(self._read(sheet, patience)) as found:
                        async for one in found:
                            if isinstance(one, Progress):
                                yield one
                                continue
                            patience.content_came()
                            for event in reading.add(one, sheet.total):
                                yield event
                    yield Progress("reading", sheet.done + 1, sheet.total, "pages")
            for event in reading.end():
                yield event

    async def _read(self, sheet: Sheet, patience: Patience) -> AsyncGenerator[Progress | Page, None]:
        """Signs of life, and the page. Raises BACKEND_LOST, UPSTREAM_ERROR."""
        if sheet.form == "text":
            found, turned = sheet.data, False
        else:
            width, height = sheet.pictured
            data, facts = bytearray(), dict[str, object]()
            async with self._workers.job({"width": width, "height": height}) as job:
                await patience.wait(job.pour(sheet.data))
                while not job.ended:
                    try:
                        frame = await patience.wait(job.read())
                    except EOFError:
                        raise MeshError(
                            Reason.BACKEND_LOST,
                            "The process that reads ended in the middle. Retry the request.",
                        ) from None
                    if frame.kind == MEDIA:
                        data += frame.data
                    elif job.ended:
                        facts = frame.facts
                    else:
                        yield Progress("reading", sheet.done, sheet.total, "pages")
            if problem := facts.get("problem"):
                raise MeshError(Reason.UPSTREAM_ERROR, f"RapidOCR failed on page {sheet.page} ({problem}).")
            found, turned = bytes(data), bool(facts["turned"])
        yield page_of(sheet, found, turned=turned)


def can_read() -> bool:
    """Whether the package is installed, weights and all: it would fetch what is missing from elsewhere."""
    found = find_spec(MODULE)
    if found is None or found.origin is None:
        return False
    return any(Path(found.origin).with_name(WEIGHTS).glob("*rec*.onnx"))


def _check_languages(wanted: Sequence[str]) -> None:
    known = {name.lower() for name in LANGUAGES}
    for name in wanted:
        if name.lower() not in known and name.partition("-")[0].lower() not in known - {"sr"}:
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"'languages' must be among {', '.join(LANGUAGES)}: RapidOCR does not read {name[:35]!r}.",
                metadata={"param": "languages", "code": "invalid_value"},
            )
