"""OCR by a model that chats and sees: a page a chat, and half a page never handed on."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import support.fake_openai_modes as modes
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from PIL import Image
from support.adapter_host import adapter_bench
from support.fake_openai import FakeOpenAI
from support.papers import as_file, as_pdf, page, text_pdf
from support.reading import read

SAID = "# Ledger\n\n14 boats came in."


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(mode=modes.ok(text=SAID)) as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(engine: FakeOpenAI) -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("openai_compatible", engine.url, capabilities=("vision",))


def pictures(engine: FakeOpenAI) -> list[Image.Image]:
    """Those that it was shown."""
    shown = []
    for record in engine.calls:
        [message] = record.body["messages"]
        _, picture = message["content"]
        head, _, data = picture["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        shown.append(Image.open(io.BytesIO(base64.b64decode(data))))
    return shown


async def test_a_page_a_chat(backend: Backend, engine: FakeOpenAI) -> None:
    data = as_pdf([page("One."), page("Two.")])
    answer = await read(backend, data)
    assert [(one["index"], one["markdown"], one["source"], one["lines"]) for one in answer["pages"]] == [
        (0, SAID, "vision", None), (1, SAID, "vision", None),
    ]  # fmt: skip
    assert [max(picture.size) for picture in pictures(engine)] == [1600, 1600]
    assert engine.paths.count("/v1/chat/completions") == 2


async def test_models_that_see_offer_it_and_others_do_not(backend: Backend, engine: FakeOpenAI) -> None:
    assert model_pb2.OPERATION_OCR in backend.inspection.offers[0].model.operations
    async with adapter_bench() as bench:
        blind = await bench.serve("openai_compatible", engine.url)
        assert model_pb2.OPERATION_OCR not in blind.inspection.offers[0].model.operations


async def test_a_pdfs_own_text_asks_nobody(backend: Backend, engine: FakeOpenAI) -> None:
    [one] = (await read(backend, text_pdf([["Of its own."]])))["pages"]
    assert (one["text"], one["source"]) == ("Of its own.", "text_layer")
    assert engine.calls == []


async def test_what_was_cut_short_is_no_page(backend: Backend, engine: FakeOpenAI) -> None:
    engine.mode = modes.ok(text=SAID, finish_reason="length")
    with pytest.raises(MeshError, match="middle of page 0") as cut:
        await read(backend, as_file(page("One.")))
    assert cut.value.reason is Reason.UPSTREAM_MALFORMED


async def test_an_engine_that_dies_is_an_error(backend: Backend, engine: FakeOpenAI) -> None:
    engine.mode = modes.die_after(2)
    with pytest.raises(MeshError) as lost:
        await read(backend, as_file(page("One.")))
    assert lost.value.reason is Reason.BACKEND_LOST


async def test_what_it_is_told(backend: Backend, engine: FakeOpenAI) -> None:
    engine.mode = modes.ok(text=f"```markdown\n{SAID}\n```")
    [one] = (await read(backend, as_file(page("One.")), prompt="Only numbers.", languages=["de"]))["pages"]
    assert one["markdown"] == SAID
    told, _ = engine.calls[0].body["messages"][0]["content"]
    assert told["text"].startswith("Only numbers.")
    assert "de" in told["text"]
    with pytest.raises(MeshError) as refused:
        await read(backend, as_file(page("One.")), dpi=300)
    assert refused.value.metadata["param"] == "dpi"
