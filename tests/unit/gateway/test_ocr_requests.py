"""What may be asked of OCR: pages as numbers and ranges, a document as a data: URL, and nothing that is fetched."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from nexus_gateway.validation.documents import LAST_PAGE, MOST_PAGES, check_ocr, take_document
from nexus_mesh.core import MeshError, Reason

DATA = b"%PDF-1.7 a few bytes"
URL = f"data:application/pdf;base64,{base64.b64encode(DATA).decode()}"

PAGES: list[tuple[Any, list[int]]] = [
    (3, [3]), ("3", [3]), ("0-2", [0, 1, 2]), ("4,0-1,1", [0, 1, 4]), (" 1 , 2 ", [1, 2]), ([2, 0, 2], [0, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "meant"), PAGES)
def test_pages(sent: Any, meant: list[int]) -> None:
    body = {"model": "m", "pages": sent}
    check_ocr(body)
    assert body["pages"] == meant


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "1-",
        "-1",
        "2-1",
        "a",
        "1;2",
        [],
        [-1],
        [LAST_PAGE + 1],
        [1.5],
        [True],
        f"0-{MOST_PAGES}",
        "999999",
        {},
    ],
)
def test_no_pages(sent: Any) -> None:
    with pytest.raises(MeshError) as refused:
        check_ocr({"model": "m", "pages": sent})
    assert refused.value.metadata["param"] == "pages"


def test_what_mistrals_clients_send_beside_it() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "id": "x",
        "include_image_base64": False,
        "extract_header": False,
        "pages": None,
    }
    assert check_ocr(body) == ({}, 1)
    assert body == {"model": "m"}
    with pytest.raises(MeshError) as refused:
        check_ocr({"model": "m", "include_image_base64": True})
    assert refused.value.reason is Reason.UNSUPPORTED_PARAMETER


@pytest.mark.parametrize(
    "document",
    [
        {"type": "document_url", "document_url": URL},
        {"type": "image_url", "image_url": URL},
        {"type": "image_url", "image_url": {"url": URL}},
    ],
)
def test_a_document_is_taken_out(document: dict[str, Any]) -> None:
    body = {"model": "m", "document": {**document, "document_name": "a.pdf"}}
    [found] = take_document(body)
    assert (b"".join(found.pieces()), found.media_type, found.filename) == (DATA, "application/pdf", "a.pdf")
    assert body == {"model": "m"}


def taken(body: dict[str, Any]) -> list[bytes]:
    return [piece for found in take_document(body) for piece in found.pieces()]


@pytest.mark.security
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://a/b", "file:///etc/passwd", "//a/b", "gopher://a", "DATA:", "data:,x",
     "data:a;base64,", "data:a;base64,%41", ""],
)  # fmt: skip
def test_nothing_else_is(url: str) -> None:
    with pytest.raises(MeshError) as refused:
        taken({"document": {"type": "document_url", "document_url": url}})
    assert refused.value.metadata["param"] == "document.document_url"


@pytest.mark.parametrize(
    "document", [None, "x", {}, {"type": "file", "file_id": "f"}, {"type": "document_url"}]
)
def test_no_document(document: Any) -> None:
    with pytest.raises(MeshError) as refused:
        take_document({"document": document})
    assert refused.value.metadata["param"].startswith("document")
