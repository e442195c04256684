"""Documents to read: what may be asked of their OCR, and the document in a JSON body, in the shape of Mistral's API."""

from __future__ import annotations

import re

from nexus_mesh.core import JsonObject, MeshError

from nexus_gateway.validation.body_rules import BodyRules, When, explained
from nexus_gateway.validation.images import IMAGES, is_link
from nexus_gateway.validation.params import (
    Rule,
    boolean,
    check_object,
    checked_later,
    mapping,
    one_of,
    shaped,
    string,
    text,
)
from nexus_gateway.validation.references import InBody
from nexus_gateway.validation.refusals import (
    RequestCode,
    bad_value,
    invalid,
    missing,
    unsupported,
    wrong_type,
)

__all__ = ["OF_OCR", "check_ocr", "take_document"]

MOST_PAGES = 1000
CODE: RequestCode = "invalid_file"
DOCUMENTS = IMAGES | {"image/tiff", "application/pdf"}
LAST_PAGE = 99_999
RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
PAGES = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": LAST_PAGE}}
KINDS = {"document_url": "document_url", "image_url": "image_url"}
"""Types of a `document`, and the key each has its URL under."""
NOT_DONE = {
    "include_image_base64": "no pictures are cut out of pages here",
    "extract_header": "headers stand where they stand on the page",
    "extract_footer": "footers stand where they stand on the page",
}
"""Switches of Mistral's API that may be off only."""


@shaped(anyOf=[{"type": "string", "maxLength": 1024}, {"type": "integer", "minimum": 0}, PAGES])
def _pages(value: object, path: str) -> None:
    _numbers(value, path)


@shaped(type="array", items={"type": "string", "maxLength": 35}, maxItems=32)
def _languages(value: object, path: str) -> None:
    if type(value) is not list:
        raise wrong_type(path, "an array", value)
    if len(value) > 32:
        raise bad_value(path, "have at most 32 entries")
    for index, one in enumerate(value):
        string(35)(one, f"{path}[{index}]")


DOCUMENT = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": list(KINDS)},
        **{
            key: {"type": "string", "description": "A data: URL, or one that is fetched."}
            for key in KINDS.values()
        },
        "document_name": {"type": "string", "maxLength": 255},
    },
}
OF_OCR: dict[str, Rule] = {
    "model": string(65_536),
    "prompt": text,
    "document": checked_later(**DOCUMENT),
    "pages": _pages,
    "languages": _languages,
    "format": one_of("json", "markdown", "text"),
    "text_layer": one_of("auto", "ignore"),
    "stream": boolean,
    "id": string(256),
    **dict.fromkeys(NOT_DONE, boolean),
}


@explained(
    BodyRules(
        hidden=frozenset({"document", "id", *NOT_DONE}),
        narrower={"pages": {**PAGES, "minItems": 1, "maxItems": MOST_PAGES}},
        respelled={"pages": "array"},
        whens=(When("stream", {"format": {"const": "json"}}, value={"const": True}, said=False),),
    )
)
def check_ocr(body: JsonObject) -> tuple[dict[int, str], int]:
    """No capabilities needed, and one answer. `pages` become a list of numbers, from 0."""
    if "document" in body:
        raise bad_value("document", "be sent in a JSON body; in a form the document is the file 'file'")
    check_object(body, OF_OCR, ("model",))
    if body.get("stream") and body.get("format", "json") != "json":
        raise bad_value("format", "be json when the answer is streamed")
    for name, why in NOT_DONE.items():
        if body.pop(name, False):
            raise unsupported(name, f"{why}. Remove it.")
    body.pop("id", None)
    if "pages" in body:
        body["pages"] = _numbers(body["pages"], "pages")
    return {}, 1


def _numbers(value: object, path: str) -> list[int]:
    """[0, 1, 4] of those, of 4, and of "0-1,4"."""
    if type(value) is int:
        value = [value]
    if type(value) is str:
        found = sorted({number for part in value.split(",") for number in _range(part.strip(), path)})
    elif type(value) is list:
        if any(type(each) is not int or not 0 <= each <= LAST_PAGE for each in value):
            raise bad_value(path, f"hold numbers of pages between 0, the first, and {LAST_PAGE}")
        found = sorted(set(value))
    else:
        raise wrong_type(path, "a list of numbers, or text such as '0-2,5'", value)
    if not 0 < len(found) <= MOST_PAGES:
        raise bad_value(path, f"name 1 to {MOST_PAGES} pages")
    return found


def _range(part: str, path: str) -> range:
    match = RANGE.fullmatch(part)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if last < first:
        raise bad_value(path, "be numbers of pages from 0 and ranges of them, such as '0-2,5'")
    return range(first, min(last, first + MOST_PAGES) + 1)


def take_document(body: JsonObject) -> list[InBody]:
    """The document of a JSON body, which goes on without it. Raises INVALID_REQUEST, UNSUPPORTED_PARAMETER."""
    if body.get("document") is None:
        raise missing("document")
    document = mapping(body.pop("document"), "document")
    key = KINDS.get(str(document.get("type")))
    if key is None:
        raise bad_value(
            "document.type", f"be one of {', '.join(KINDS)}; files are sent as a form with 'file'"
        )
    url, path = document.get(key), f"document.{key}"
    if type(url) is dict:
        url, path = url.get("url"), f"{path}.url"
    if type(url) is not str:
        raise missing(path) if url is None else wrong_type(path, "a string", url)
    name = document.get("document_name") or ""
    string(255)(name, "document.document_name")
    return [_given(url, path, name)]


def _given(url: str, path: str, name: str) -> InBody:
    if is_link(url):
        return InBody("file", "", url, path, name, CODE, accepts=DOCUMENTS)
    head, comma, encoded = url.partition(",")
    if head[:5].lower() != "data:":
        raise invalid(
            "invalid_value",
            f"'{path}' must be a data: URL, or one that begins with https:// or http://. Send the document itself, as "
            "data:application/pdf;base64,... or as the file 'file' of a form.",
            path,
        )
    if not comma or not head.lower().rstrip().endswith(";base64"):
        raise _bad(path, "must start like data:application/pdf;base64,")
    media_type = head[5:].partition(";")[0].strip().lower()[:255]
    return InBody("file", media_type, encoded.rstrip("="), path, name, CODE)


def _bad(path: str, why: str) -> MeshError:
    return invalid(CODE, f"'{path}' {why}.", path)
