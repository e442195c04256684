"""Pictures that stand in a JSON body, as OpenAI's EditImageBodyJsonParam has them: files in all but their way here."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nexus_mesh.core import JsonObject, MeshError
from nexus_operations import Times

from nexus_gateway.validation.params import array, mapping, string
from nexus_gateway.validation.refusals import bad_value, invalid, missing, unsupported

__all__ = ["InBody", "reference_shape", "take_references"]

PIECE = 64 * 1024 // 3 * 4
"""Characters of base64 that are decoded at once."""
LISTED = {"images": "image", "mask": "mask"}
"""The body's name for each file of a form."""
REFERENCE: JsonObject = {
    "type": "object",
    "required": ["image_url"],
    "properties": {"image_url": {"type": "string", "pattern": "^data:"}},
}

_url = string(2**31)


@dataclass(slots=True)
class InBody:
    """One of them. `path`: where it stands in the body."""

    name: str
    media_type: str
    text: str
    path: str

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, at most 64 KiB at once. Raises INVALID_REQUEST."""
        if not self.text:
            raise _bad(self.path, "holds no picture")
        try:
            for at in range(0, len(self.text), PIECE):
                piece = self.text[at : at + PIECE]
                yield binascii.a2b_base64(piece + "=" * (-len(piece) % 4), strict_mode=True)
        except ValueError:
            raise _bad(self.path, "is not valid base64") from None


def take_references(body: JsonObject, files: Mapping[str, Times]) -> list[InBody]:
    """Those of a body, which has none of them any more. Raises INVALID_REQUEST, UNSUPPORTED_PARAMETER."""
    found: list[InBody] = []
    for listed, name in LISTED.items():
        given, times = body.pop(listed, None), files[name]
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
    head, comma, text = url.partition(",")
    if head[:5].lower() != "data:":
        raise invalid(
            "invalid_image_url",
            f"'{path}' must be a data: URL; this gateway fetches no pictures for its clients. "
            "Send the picture itself as data:image/png;base64,...",
            path,
        )
    media_type, _, encoding = head[5:].rpartition(";")
    if not comma or encoding.strip().lower() != "base64":
        raise _bad(path, "must start with data:image/png;base64, (or jpeg, webp)")
    return InBody(name, media_type[:255], text.rstrip("="), path)


def _bad(path: str, why: str) -> MeshError:
    return invalid("invalid_image", f"'{path}' {why}.", path)
