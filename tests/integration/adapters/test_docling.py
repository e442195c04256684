"""docling-serve behind the mesh: its tasks polled to their end, and half a document never handed on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nexus_inference_adapters.contract import Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench
from support.fake_docling import FakeDocling
from support.reading import events_of, read

PDF = b"%PDF-1.7 whatever"


@pytest_asyncio.fixture
async def docling() -> AsyncIterator[FakeDocling]:
    async with FakeDocling(["Title", "First."], [], ["Third page."]) as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(docling: FakeDocling, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("DOCLING_KEY", "dk-1")
    monkeypatch.setattr("nexus_inference_adapters.kinds.docling.LOOK_SECONDS", 0.01)
    async with adapter_bench() as bench:
        yield await bench.serve("docling", docling.url, api_key_env="DOCLING_KEY")


@pytest.mark.parametrize("skips_blank", [True, False])
async def test_page_for_page(backend: Backend, docling: FakeDocling, *, skips_blank: bool) -> None:
    docling.skips_blank, docling.key = skips_blank, "dk-1"
    answer = await read(backend, PDF, text_layer="ignore", languages=["en"])
    assert [(one["index"], one["markdown"], one["source"]) for one in answer["pages"]] == [
        (0, "Title\n\nFirst.", "ocr"), (1, "", "ocr"), (2, "Third page.", "ocr"),
    ]  # fmt: skip
    assert answer["model"] == "docling"
    line = answer["pages"][0]["lines"][1]
    assert (line["text"], line["confidence"]) == ("First.", None)
    assert line["polygon"] == [[60, 80], [300, 80], [300, 94], [60, 94]]
    assert answer["pages"][0]["dimensions"] == {"dpi": 72, "height": 842, "width": 595}
    [source] = docling.sources
    assert (source["kind"], source["data"], source["filename"]) == ("file", PDF, "paper")
    assert docling.options["force_ocr"] is True
    assert docling.options["ocr_lang"] == ["en"]


async def test_a_range_of_pages(backend: Backend, docling: FakeDocling) -> None:
    answer = await read(backend, PDF, pages=[1, 2])
    assert docling.options["page_range"] == [2, 3]
    assert [(one["index"], one["markdown"], one["source"]) for one in answer["pages"]] == [
        (1, "", "mixed"), (2, "Third page.", "mixed"),
    ]  # fmt: skip
    with pytest.raises(MeshError, match="one range") as refused:
        await read(backend, PDF, pages=[0, 2])
    assert refused.value.metadata["param"] == "pages"


async def test_it_says_that_it_waits(backend: Backend) -> None:
    events = await events_of(backend, PDF, stream=True)
    assert "converting" in [event.phase for event in events if isinstance(event, Progress)]


@pytest.mark.parametrize(
    ("outcome", "reason", "why"),
    [
        ("partial_success", Reason.UPSTREAM_ERROR, "a part of the document only"),
        ("failure", Reason.INVALID_REQUEST, "cannot read the document"),
    ],
)
async def test_success_stands_in_the_body(
    backend: Backend, docling: FakeDocling, outcome: str, reason: Reason, why: str
) -> None:
    docling.outcome = outcome
    with pytest.raises(MeshError, match=why) as failed:
        await read(backend, PDF)
    assert failed.value.reason is reason
    assert "page 2 could not be parsed" in failed.value.message


async def test_a_wrong_key_is_told(backend: Backend, docling: FakeDocling) -> None:
    docling.key = "another"
    with pytest.raises(MeshError) as failed:
        await read(backend, PDF)
    assert failed.value.reason is not Reason.INVALID_REQUEST
