"""Files that stand in a JSON body as URLs: such as pictures, as OpenAI's EditImageBodyJsonParam has them."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from nexus_mesh.core import JsonObject, MeshError
from nexus_operations import Operation, spec_of

from nexus_gateway.validation.images import IMAGES, is_link
from nexus_gateway.validation.params import array, mapping, string
from nexus_gateway.validation.refusals import RequestCode, bad_value, invalid, missing, unsupported

__all__ = ["InBody", "reference_shape", "take_references"]

PIECE = 64 * 1024 // 3 * 4
"""Characters of base64 that are decoded at once."""
LISTED = {"images": "image", "mask": "mask"}
"""The body's name for each file of a form."""
REFERENCE: JsonObject = {
    "type": "object",
    "required": ["image_url"],
    "properties": {"image_url": {"type": "string", "pattern": "^(data:|https?://)"}},
}

_url = string(2**31)


@dataclass(slots=True)
class InBody:
    """One of them: base64, or with `accepts` the URL of what is to be one of these media types. `path`: where it stands
    in the body."""

    name: str
    media_type: str
    text: str
    path: str
    filename: str = ""
    code: RequestCode = "invalid_image"
    accepts: frozenset[str] = frozenset()

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, at most 64 KiB at once. Raises INVALID_REQUEST."""
        if not self.text:
            raise self._bad("is empty")
        try:
            for at in range(0, len(self.text), PIECE):
                piece = self.text[at : at + PIECE]
                yield binascii.a2b_base64(piece + "=" * (-len(piece) % 4), strict_mode=True)
        except ValueError:
            raise self._bad("is not valid base64") from None

    def _bad(self, why: str) -> MeshError:
        return invalid(self.code, f"'{self.path}' {why}.", self.path)


def take_references(body: JsonObject) -> list[InBody]:
    """The pictures of an edit's body, which has none of them any more. Raises INVALID_REQUEST,
    UNSUPPORTED_PARAMETER."""
    found: list[InBody] = []
    for listed, name in LISTED.items():
        given, times = body.pop(listed, None), spec_of(Operation.IMAGE_EDIT).files[name]
        if given is None:
            if times.least:
                raise missing(listed)
        elif times.most == 1:
            found.append(_taken(given, name, listed))
        else:
            several = array(given, listed)
            if not times.least <= len(several) <= times.most:
                raise bad_value(listed, f"have {times.least} to {times.most} entries")
            found += [_taken(each, name, f"{listed}[{at}]") for at, each in enumerate(several)]
    return found


def reference_shape(shape: JsonObject) -> JsonObject:
    """The JSON Schema of such a body, made of that of the form."""
    told = {**shape["properties"]}
    several = told.pop("image")
    told = {
        "images": {**several, "items": REFERENCE},
        **told,
        "mask": {"anyOf": [REFERENCE, {"type": "null"}]},
    }
    names = [{"image": "images"}.get(name, name) for name in shape["required"]]
    return {**shape, "title": f"{shape['title']}Json", "required": names, "properties": told}


def _taken(value: object, name: str, path: str) -> InBody:
    given = mapping(value, path)
    if given.get("file_id") is not None:
        raise unsupported(f"{path}.file_id", "this gateway keeps no files. Send the picture as image_url.")
    url, path = given.get("image_url"), f"{path}.image_url"
    if url is None:
        raise missing(path)
    _url(url, path)
    if is_link(url):
        return InBody(name, "", url, path, code="invalid_image_url", accepts=IMAGES)
    head, comma, text = url.partition(",")
    if head[:5].lower() != "data:":
        raise invalid(
            "invalid_image_url",
            f"'{path}' must be a data: URL, or one that begins with https:// or http://. "
            "Send the picture itself as data:image/png;base64,...",
            path,
        )
    media_type, _, encoding = head[5:].rpartition(";")
    if not comma or encoding.strip().lower() != "base64":
        raise _bad(path, "must start with data:image/png;base64, (or jpeg, webp)")
    return InBody(name, media_type[:255], text.rstrip("="), path)


def _bad(path: str, why: str) -> MeshError:
    return invalid("invalid_image", f"'{path}' {why}.", path)
