"""The reader in the box: real pages through real processes, read as they were written."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio
from nexus_inference_adapters.contract import Progress, Text
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.rapidocr import RapidOcr
from nexus_mesh.core import MeshError, Reason
from PIL import Image
from support.adapter_host import adapter_bench
from support.papers import STORY, as_file, as_pdf, error_rate, page, scanned, text_pdf
from support.reading import events_of, read
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW = "Two boats came in at seven.\n\nThe fee was 12.50 a day."
SMALL = page(FEW, paper=(900, 420))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader() -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("rapidocr")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
async def test_reads_each_kind_of_picture(reader: Backend, form: str) -> None:
    answer = await read(reader, as_file(SMALL, form))
    [one] = answer["pages"]
    assert (one["index"], one["source"], one["images"]) == (0, "ocr", [])
    assert error_rate(FEW, one["text"]) <= 0.02, one["text"]
    assert one["markdown"].split("\n\n") == FEW.split("\n\n")
    assert (one["dimensions"]["width"], one["dimensions"]["height"]) == SMALL.size
    assert answer["model"] == "rapidocr"
    assert answer["usage_info"]["pages_processed"] == 1


async def test_says_where_each_line_stands(reader: Backend) -> None:
    [one] = (await read(reader, as_file(SMALL)))["pages"]
    first, second = one["lines"]
    assert 0.8 < first["confidence"] <= 1
    for line, top in ((first, 150), (second, 236)):
        (left, upper), (right, _), (_, lower), _ = line["polygon"]
        assert 130 < left < 160 < right < 700, line
        assert top - 15 < upper < top + 15 < lower < top + 60, line


async def test_coordinates_are_of_the_picture_that_was_sent(reader: Backend) -> None:
    large = SMALL.resize((SMALL.width * 4, SMALL.height * 4))
    [one] = (await read(reader, as_file(large)))["pages"]
    assert one["dimensions"]["width"] == large.width
    left = one["lines"][0]["polygon"][0][0]
    assert 130 < left / 4 < 160


async def test_a_scanned_page_has_few_errors(reader: Backend) -> None:
    [one] = (await read(reader, as_pdf([scanned(page(STORY))])))["pages"]
    assert one["source"] == "ocr"
    assert one["dimensions"]["dpi"] == 200
    assert error_rate(STORY, one["text"]) <= 0.03, one["text"]


async def test_long_lines_are_not_turned(reader: Backend) -> None:
    """Lines of 110 letters, of which a judgement line by line turns some upside down."""
    strip = scanned(page(STORY, 22), 1, 0.8).crop((0, 100, 1654, 360))
    [one] = (await read(reader, as_file(strip)))["pages"]
    assert error_rate(STORY, one["text"]) <= 0.02, one["text"]


async def test_a_page_that_is_upside_down(reader: Backend) -> None:
    [one] = (await read(reader, as_file(SMALL.rotate(180))))["pages"]
    assert error_rate(FEW, one["text"]) <= 0.02, one["text"]
    (right, lower), *_ = one["lines"][0]["polygon"]
    assert right > SMALL.width - 160, "its beginning is on the right of the picture"
    assert lower > SMALL.height - 165


async def test_pages_of_a_tiff_that_were_asked_for(reader: Backend) -> None:
    pages = [page(f"This is page number {number}.", paper=(800, 350)) for number in range(3)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    answer = await read(reader, file.getvalue(), pages=[0, 2])
    assert [(one["index"], one["text"][-2:]) for one in answer["pages"]] == [(0, "0."), (2, "2.")]


async def test_columns_are_read_one_after_the_other(reader: Backend) -> None:
    paper = Image.new("L", (1400, 700), 255)
    for at, text in (
        (0, "left one\n\nleft two\n\nleft three"),
        (700, "right one\n\nright two\n\nright three"),
    ):
        paper.paste(page(text, paper=(700, 700)), (at, 0))
    [one] = (await read(reader, as_file(paper)))["pages"]
    assert one["text"].split("\n") == [
        "left one",
        "left two",
        "left three",
        "right one",
        "right two",
        "right three",
    ]


async def test_a_pdfs_own_text_is_used_and_said_so(reader: Backend) -> None:
    lines = ["First line of its own.", "Second line, 12.50 each."]
    data = text_pdf([lines, ["Another page."]])
    first, second = (await read(reader, data))["pages"]
    assert (first["source"], second["source"]) == ("text_layer", "text_layer")
    assert first["text"].split("\n") == lines
    assert first["lines"][0]["confidence"] is None
    (left, top), _, (right, bottom), _ = first["lines"][0]["polygon"]
    scale = 200 / 72
    assert left == pytest.approx(60 * scale, abs=6)
    assert top < (842 - 760) * scale < bottom + 6
    assert right > left + 200
    assert not isinstance(reader.adapter, RapidOcr) or len(reader.adapter.processes) <= 1
    [ignored] = (await read(reader, data, pages=[0], text_layer="ignore"))["pages"]
    assert ignored["source"] == "ocr"
    assert error_rate(" ".join(lines), ignored["text"]) <= 0.05
    assert ignored["dimensions"] == first["dimensions"]


async def test_a_stamp_on_a_scan_does_not_stand_for_the_scan(reader: Backend) -> None:
    """A scan with a little text of its own, as a fax or an archive adds it: the whole page is read."""
    import pypdfium2

    scan = pypdfium2.PdfDocument(as_pdf([page(FEW, paper=(900, 420))]))
    sheet = scan[0]
    font = pypdfium2.raw.FPDFText_LoadStandardFont(scan, b"Helvetica")
    stamp = pypdfium2.raw.FPDFPageObj_CreateTextObj(scan, font, 12.0)
    pypdfium2.raw.FPDFText_SetText(stamp, (pypdfium2.raw.FPDF_WCHAR * 6)(*map(ord, "Page1"), 0))
    pypdfium2.raw.FPDFPageObj_Transform(stamp, 1, 0, 0, 1, 20, 10)
    pypdfium2.raw.FPDFPage_InsertObject(sheet, stamp)
    sheet.gen_content()
    file = io.BytesIO()
    scan.save(file)
    [one] = (await read(reader, file.getvalue()))["pages"]
    assert one["source"] == "ocr"
    assert "Two boats came in at seven." in one["text"]


@pytest.mark.parametrize(("wanted", "mime"), [("markdown", "text/markdown"), ("text", "text/plain")])
async def test_as_text(reader: Backend, wanted: str, mime: str) -> None:
    events = await events_of(reader, as_file(SMALL), format=wanted)
    [text] = [event for event in events if isinstance(event, Text)]
    assert text.mime_type == mime
    assert error_rate(FEW, text.body) <= 0.02


async def test_page_by_page(reader: Backend) -> None:
    data = text_pdf([["One."], ["Two."], ["Three."]])
    events = await events_of(reader, data, stream=True)
    told = [json.loads(text) for event in events if isinstance(event, list) for text in event]
    assert [one["type"] for one in told] == ["ocr.page"] * 3 + ["ocr.done"]
    assert [(one["done"], one["total"]) for one in told[:3]] == [(1, 3), (2, 3), (3, 3)]
    assert told[1]["page"]["text"] == "Two."
    assert told[-1]["usage_info"]["pages_processed"] == 3
    steps = [event for event in events if isinstance(event, Progress) and event.unit == "pages"]
    assert (steps[-1].done, steps[-1].total) == (3, 3)


async def test_an_empty_page_is_read_as_empty(reader: Backend) -> None:
    [one] = (await read(reader, as_file(Image.new("RGB", (600, 400), "white"))))["pages"]
    assert (one["text"], one["markdown"], one["lines"]) == ("", "", [])


async def test_a_language_it_does_not_read_is_refused_with_those_it_does(reader: Backend) -> None:
    await read(reader, text_pdf([["Hi."]]), languages=["en", "de-AT"])
    with pytest.raises(MeshError, match="does not read 'ru'") as refused:
        await read(reader, text_pdf([["Hi."]]), languages=["en", "ru"])
    assert (refused.value.reason, refused.value.metadata["param"]) == (Reason.INVALID_REQUEST, "languages")
    assert " de " in refused.value.message.replace(",", " ")


async def test_what_it_does_not_heed_is_refused(reader: Backend) -> None:
    with pytest.raises(MeshError) as refused:
        await read(reader, as_file(SMALL), prompt="Read only the numbers.")
    assert (refused.value.reason, refused.value.metadata["param"]) == (Reason.UNSUPPORTED_PARAMETER, "prompt")


def engines(reader: Backend) -> list[int]:
    assert isinstance(reader.adapter, RapidOcr)
    return reader.adapter.processes


async def until_it_reads(reader: Backend, asking: asyncio.Task[Any]) -> int:
    """The id of the process that recognises, at work."""

    def at_work() -> list[int]:
        found = [psutil.Process(pid) for pid in engines(reader)]
        return [
            one.pid for one in found if one.cmdline()[-1].endswith(RECOGNISES) and one.cpu_percent(0.2) > 20
        ]

    await eventually(at_work, 60, "a page being read")
    assert not asking.done()
    return next(pid for pid in engines(reader) if psutil.Process(pid).cmdline()[-1].endswith(RECOGNISES))


RECOGNISES = "recognising.py"
LONG = as_pdf([page("\n\n".join([STORY] * 3), 26)] * 3)


async def test_an_engine_that_is_killed_is_an_error_and_then_is_back(reader: Backend) -> None:
    await read(reader, as_file(SMALL))
    asking = asyncio.create_task(read(reader, LONG))
    os.kill(await until_it_reads(reader, asking), signal.SIGKILL)
    with pytest.raises(MeshError) as lost:
        await asking
    assert lost.value.reason is Reason.BACKEND_LOST
    assert (await read(reader, as_file(SMALL)))["pages"]


async def test_whoever_leaves_frees_it(reader: Backend) -> None:
    asking = asyncio.create_task(read(reader, LONG))
    await until_it_reads(reader, asking)
    pids = engines(reader)
    asking.cancel()
    await asyncio.wait({asking})
    await eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), 10, "their end")
    assert engines(reader) == []
