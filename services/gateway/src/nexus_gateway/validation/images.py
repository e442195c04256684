"""Images in a prompt: data: URLs, and what is fetched. What their first bytes say they are counts, not their label."""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from nexus_mesh.core import JsonObject, MeshError

from nexus_gateway.validation.refusals import invalid

__all__ = ["IMAGES", "MAX_PIXELS", "clean_image_url", "image_type", "inlined", "is_link", "links_in"]

MAX_PIXELS = 40_000_000
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/octet-stream"})
"""What a server may call what is fetched: what it is is seen by its bytes."""

_BLANKS = re.compile(rb"\s+")
_STANDARD = bytes.maketrans(b"-_", b"+/")


def _png_pixels(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
    return width * height


def _gif_pixels(data: bytes) -> int:
    width, height = struct.unpack_from("<HH", data.ljust(10, b"\0"), 6)
    return width * height


@dataclass(frozen=True, slots=True)
class _Format:
    """How a kind of image begins, and how its header tells its size, if it is told simply."""

    media_type: str
    magic: re.Pattern[bytes]
    pixels: Callable[[bytes], int] = lambda _: 0


_FORMATS = (
    _Format("image/png", re.compile(rb"\x89PNG\r\n\x1a\n"), _png_pixels),
    _Format("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    _Format("image/gif", re.compile(rb"GIF8[79]a"), _gif_pixels),
    _Format("image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
)


def image_type(beginning: bytes, path: str) -> str:
    """The media type of an image, by its first bytes. Raises INVALID_REQUEST."""
    kind = next((each for each in _FORMATS if each.magic.match(beginning)), None)
    if kind is None:
        raise _bad_image(path, "does not hold a PNG, JPEG, GIF or WebP image")
    if (pixels := kind.pixels(beginning)) > MAX_PIXELS:
        raise _bad_image(path, f"has {pixels} pixels; the limit is {MAX_PIXELS}")
    return kind.media_type


def clean_image_url(url: str, path: str) -> str:
    """The data: URL of a base64 PNG, JPEG, GIF or WebP image, under its true name; a link as it is. Raises
    INVALID_REQUEST.

    Nothing is fetched here and nothing decoded beyond base64: the size comes from the image's own header.
    """
    if is_link(url):
        return url
    head, comma, encoded = url.partition(",")
    if head[:5].lower() != "data:":
        raise invalid(
            "invalid_image_url",
            f"'{path}' must be a data: URL, or one that begins with https:// or http://. "
            "Send the image itself as data:image/png;base64,...",
            path,
        )
    if not comma or not head.lower().rstrip().endswith(";base64"):
        raise _bad_image(path, "must start with data:image/png;base64, (or jpeg, gif, webp)")
    data, text = _decoded(encoded, path)
    clean = f"data:{image_type(data, path)};base64"
    return url if head == clean and text is encoded else f"{clean},{text}"


def is_link(url: str) -> bool:
    """Whether it has to be fetched."""
    return url[:8].lower().startswith(("http://", "https://"))


def links_in(messages: list[JsonObject]) -> Iterator[tuple[JsonObject, str]]:
    """What holds the `url` of each image of checked messages that has to be fetched, and the JSON path of that."""
    for number, message in enumerate(messages):
        content = message.get("content")
        for place, part in enumerate(content if type(content) is list else ()):
            if part["type"] == "image_url" and is_link(part["image_url"]["url"]):
                yield part["image_url"], f"messages[{number}].content[{place}].image_url.url"


def inlined(data: bytes, path: str) -> str:
    """An image that was fetched as a data: URL. Raises INVALID_REQUEST."""
    kind = image_type(data, path)
    return f"data:{kind};base64,{binascii.b2a_base64(data, newline=False).decode('ascii')}"


def _decoded(encoded: str, path: str) -> tuple[bytes, str]:
    """The bytes, and their base64 without line ends, escapes, letters of URLs and missing padding."""
    try:
        return binascii.a2b_base64(encoded, strict_mode=True), encoded
    except ValueError:
        pass
    clean = unquote_to_bytes(encoded) if "%" in encoded else encoded.encode("utf-8", "replace")
    clean = _BLANKS.sub(b"", clean).translate(_STANDARD).rstrip(b"=")
    clean += b"=" * (-len(clean) % 4)
    try:
        return binascii.a2b_base64(clean, strict_mode=True), clean.decode("ascii")
    except ValueError:
        raise _bad_image(path, "is not valid base64") from None


def _bad_image(path: str, why: str) -> MeshError:
    return invalid("invalid_image", f"'{path}' {why}.", path)
