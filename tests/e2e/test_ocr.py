"""Documents through the whole mesh to RapidOCR: by form, by the object of Mistral's API, by the command."""

from __future__ import annotations

import base64
import json
import zipfile
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image
from support.e2e_cli import nexus
from support.e2e_mesh import serving
from support.live_mesh import LiveMesh
from support.papers import as_file, as_pdf, assembled, error_rate, page, scanned, text_pdf

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "rapidocr"
FEW = "Two boats came in at seven.\n\nThe fee was 12.50 a day."
PICTURE = as_file(page(FEW, paper=(900, 420)))
SCAN = as_pdf([scanned(page(FEW, paper=(900, 420)), seed) for seed in range(2)])
OWN = text_pdf([["Page one."], ["Page two."], ["Page three."]])
CONFIG = """
[[backends]]
name = "eyes"
kind = "rapidocr"

[routing.aliases]
"mistral-ocr-latest" = "rapidocr"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with serving(tmp_path_factory.mktemp("eyes"), CONFIG, MODEL, "mistral-ocr-latest") as started:
        yield started


async def posted(mesh: LiveMesh, **sent: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.post(f"{mesh.http}/v1/ocr", **sent) as answer:
        is_json = answer.content_type == "application/json"
        return answer.status, await answer.json() if is_json else await answer.text(), answer


async def form(mesh: LiveMesh, data: bytes, **fields: str) -> tuple[int, Any, aiohttp.ClientResponse]:
    body = aiohttp.FormData(default_to_multipart=True)
    for name, value in {"model": MODEL, **fields}.items():
        body.add_field(name, value)
    body.add_field("file", BytesIO(data), filename="paper")
    return await posted(mesh, data=body)


def url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


async def test_a_form_with_a_picture(mesh: LiveMesh) -> None:
    status, answer, told = await form(mesh, PICTURE)
    assert status == 200, answer
    [one] = answer["pages"]
    assert error_rate(FEW, one["text"]) <= 0.02
    assert (one["index"], one["source"], one["images"]) == (0, "ocr", [])
    assert len(one["lines"]) == 2
    assert told.headers["x-nexus-backend"] == "eyes"
    assert told.headers["x-nexus-model"] == MODEL


async def test_a_scanned_pdf(mesh: LiveMesh) -> None:
    status, answer, _ = await form(mesh, SCAN, pages="1", languages="en")
    assert status == 200, answer
    assert [one["index"] for one in answer["pages"]] == [1]
    assert error_rate(FEW, answer["pages"][0]["markdown"]) <= 0.05


async def test_the_object_of_mistrals_api(mesh: LiveMesh) -> None:
    document: Any = {
        "type": "document_url",
        "document_url": url(OWN, "application/pdf"),
        "document_name": "a.pdf",
    }
    asked = {
        "model": "mistral-ocr-latest",
        "document": document,
        "pages": [0, 2],
        "include_image_base64": False,
    }
    status, answer, _ = await posted(mesh, json=asked)
    assert status == 200, answer
    assert [(one["index"], one["markdown"]) for one in answer["pages"]] == [
        (0, "Page one."),
        (2, "Page three."),
    ]
    assert {*answer["pages"][0]} >= {"index", "markdown", "images", "dimensions"}
    assert {*answer["pages"][0]["dimensions"]} == {"dpi", "height", "width"}
    assert answer["usage_info"] == {"pages_processed": 2, "doc_size_bytes": len(OWN)}
    for picture in (url(PICTURE, "image/png"), {"url": url(PICTURE, "image/png")}):
        status, answer, _ = await posted(
            mesh, json={"model": MODEL, "document": {"type": "image_url", "image_url": picture}}
        )
        assert status == 200, answer
        assert error_rate(FEW, answer["pages"][0]["text"]) <= 0.02


async def test_page_by_page(mesh: LiveMesh) -> None:
    status, text, told = await form(mesh, OWN, stream="true")
    assert (status, told.content_type) == (200, "text/event-stream")
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    *pages, done = [json.loads(line) for line in lines[:-1]]
    assert [(one["type"], one["page"]["text"]) for one in pages] == [
        ("ocr.page", "Page one."), ("ocr.page", "Page two."), ("ocr.page", "Page three."),
    ]  # fmt: skip
    assert (done["type"], done["usage_info"]["pages_processed"]) == ("ocr.done", 3)


@pytest.mark.parametrize(("wanted", "kind"), [("markdown", "text/markdown"), ("text", "text/plain")])
async def test_as_text(mesh: LiveMesh, wanted: str, kind: str) -> None:
    status, text, told = await form(mesh, OWN, format=wanted)
    assert (status, told.content_type) == (200, kind)
    assert text == "Page one.\n\nPage two.\n\nPage three.\n"


def zip_of(data: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", data)
    return file.getvalue()


def png(width: int, height: int, data: bytes) -> bytes:
    """A picture whose head says so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def nested(levels: int, megabytes: int) -> bytes:
    """A stream of blanks, compressed again and again."""
    packer = zlib.compressobj(9)
    head = packer.compress(b" ") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    data = head + block * megabytes + packer.flush()
    for _ in range(levels - 1):
        data = zlib.compress(data, 9)
    return data


def pdf_of(content: bytes, filters: str = "", box: str = "0 0 595 842") -> bytes:
    return assembled([
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<>>>>" % box.encode(),
        b"<<%s/Length %d>>stream\n%s\nendstream" % (filters.encode(), len(content), content),
    ])  # fmt: skip


def encrypted() -> bytes:
    """One with a password: its standard security handler cannot be opened by an empty one."""
    return assembled([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 0/Kids[]>>",
        b"<</Filter/Standard/V 2/R 3/Length 128/P -4/O<%s>/U<%s>>>" % (b"41" * 32, b"42" * 32)]).replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]")  # fmt: skip


def endless_pages(count: int) -> bytes:
    kids = b"3 0 R " * count
    return assembled([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>"])  # fmt: skip


def each_draws_the_next(levels: int) -> bytes:
    """Forms of which each draws the next one ten times."""

    def form(level: int) -> bytes:
        resources = b"<</XObject<</A%d %d 0 R>>>>" % (level + 1, 6 + level)
        content = b" ".join([b"/A%d Do" % (level + 1)] * 10)
        head = b"<</Type/XObject/Subtype/Form/BBox[0 0 595 842]/Length %d/Resources%s>>"
        return head % (len(content), resources) + b"stream\n%s\nendstream" % content

    return assembled([
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</XObject<</A0 5 0 R>>>>>>",
        b"<</Length 6>>stream\n/A0 Do\nendstream",
        *(form(level) for level in range(levels)),
        b"<</Type/XObject/Subtype/Form/BBox[0 0 595 842]/Length 20>>stream\n0 0 500 800 re f   \nendstream",
    ])  # fmt: skip


BOMBS: dict[str, tuple[bytes, str]] = {
    "100 billion pixels": (png(316_000, 316_000, zlib.compress(bytes(1000))), "million are taken"),
    "65 million pixels": (png(13_000, 5_000, zlib.compress(bytes(13_001 * 5_000), 9)), "million are taken"),
    "half a picture": (PICTURE[: len(PICTURE) // 2], "cut off"),
    "half a jpeg": (as_file(page(FEW, paper=(900, 420)), "JPEG")[:9000], "cut off"),
    "no picture behind its head": (b"\x89PNG\r\n\x1a\n" + bytes(500), "no document that can be read"),
    "noise": (bytes(range(256)) * 400, "no document that can be read"),
    "page of the web": (b"<html><body>a page</body></html>", "no document that can be read"),
    "zip": (zip_of(bytes(50_000_000)), "is a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(200), "is compressed"),
    "half a pdf": (SCAN[: len(SCAN) // 2], "damaged"),
    "encrypted pdf": (encrypted(), "is encrypted"),
    "20,000 pages": (endless_pages(20_000), "300 are taken"),
    "page of 200 inches": (pdf_of(b"", box="0 0 14400 14400000"), "inches, too large"),
    "3 GB of blanks": (
        pdf_of(nested(3, 3000), "/Filter[/FlateDecode/FlateDecode/FlateDecode]"),
        "",
    ),
    "forms that draw each other": (each_draws_the_next(11), ""),
}  # fmt: skip


@pytest.mark.security
@pytest.mark.parametrize("name", BOMBS)
async def test_what_is_no_document_is_refused(mesh: LiveMesh, name: str) -> None:
    data, why = BOMBS[name]
    status, answer, _ = await form(mesh, data)
    if not why and status == 200:  # it was opened within the limits all the same
        assert [one["text"] for one in answer["pages"]] == [""]
        return
    assert status == 400, answer
    error = answer["error"]
    assert (error["code"], error["param"]) == ("invalid_file", "file"), error
    assert why in error["message"]


@pytest.mark.security
@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254/latest", "http://127.0.0.1/a.pdf", "file:///etc/passwd", "ftp://a/b"],
)
async def test_nothing_inside_is_fetched(mesh: LiveMesh, address: str) -> None:
    for kind in ("document_url", "image_url"):
        status, answer, _ = await posted(
            mesh, json={"model": MODEL, "document": {"type": kind, kind: address}}
        )
        assert (status, answer["error"]["param"]) == (400, f"document.{kind}")
        assert "must be a data: URL" in (told := answer["error"]["message"]) or "public address" in told


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no document": ({}, "document"),
    "a file's id": ({"document": {"type": "file", "file_id": "f"}}, "document.type"),
    "no base64": ({"document": {"type": "image_url", "image_url": "data:image/png;base64,%%%"}}, "document.image_url"),
    "pages that are none": ({"pages": "1-", "document": {"type": "image_url", "image_url": url(PICTURE, "image/png")}},
                            "pages"),
    "pictures cut out": ({"include_image_base64": True,
                          "document": {"type": "image_url", "image_url": url(PICTURE, "image/png")}},
                         "include_image_base64"),
    "streamed as text": ({"stream": True, "format": "text",
                          "document": {"type": "image_url", "image_url": url(PICTURE, "image/png")}}, "format"),
    "another parameter": ({"dpi": 300, "document": {"type": "image_url", "image_url": url(PICTURE, "image/png")}},
                          "dpi"),
    "a prompt": ({"prompt": "numbers", "document": {"type": "image_url", "image_url": url(PICTURE, "image/png")}},
                 "prompt"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_wrong_is_named(mesh: LiveMesh, name: str) -> None:
    body, param = REFUSED[name]
    status, answer, _ = await posted(mesh, json={"model": MODEL, **body})
    assert (status, answer["error"]["param"]) == (400, param), answer


async def test_a_page_that_there_is_not(mesh: LiveMesh) -> None:
    status, answer, _ = await form(mesh, OWN, pages="0-3")
    assert status == 400
    assert "has 3 pages" in answer["error"]["message"]


async def test_the_mesh_tells_what_it_can(mesh: LiveMesh) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{mesh.http}/openapi.json") as answer:
        told = await answer.json()
    assert "/v1/ocr" in told["paths"]


async def test_by_the_command(mesh: LiveMesh, tmp_path: Path) -> None:
    file, home = tmp_path / "own.pdf", mesh.layout.home
    file.write_bytes(OWN)
    told = await nexus(home, "ocr", str(file), "--pages", "2-3")
    assert (told.code, told.out) == (0, "Page two.\n\nPage three.\n"), told
    told = await nexus(home, "ocr", str(file), "--json")
    assert [one["index"] for one in json.loads(told.out)["pages"]] == [0, 1, 2]
    (await nexus(home, "ocr", str(file), "--pages", "0")).assert_refused("count from 1")
    (await nexus(home, "ocr", str(file), "--pages", "7")).assert_refused("has 3 pages")
    (await nexus(home, "ocr", str(tmp_path / "none.pdf"))).assert_refused("There is no file")
    file.write_bytes(b"hello")
    (await nexus(home, "ocr", str(file))).assert_refused("no document")


async def test_a_large_picture_is_no_larger_in_memory_than_it_may_be(mesh: LiveMesh) -> None:
    """As many pixels as are taken: read, and not refused."""
    large = Image.new("1", (8000, 8000), 1)
    status, answer, _ = await form(mesh, as_file(large))
    assert status == 200, answer
    assert answer["pages"][0]["dimensions"]["width"] == 8000
