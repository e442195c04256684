"""Images in a prompt: only data: URLs. What their first bytes say they are counts, not their label."""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from nexus_mesh.core import MeshError

from nexus_gateway.validation.refusals import invalid

__all__ = ["MAX_PIXELS", "clean_image_url", "image_type"]

MAX_PIXELS = 40_000_000

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
        raise _bad_image(path, "is not a PNG, JPEG, GIF or WebP image")
    if (pixels := kind.pixels(beginning)) > MAX_PIXELS:
        raise _bad_image(path, f"has {pixels} pixels; the limit is {MAX_PIXELS}")
    return kind.media_type


def clean_image_url(url: str, path: str) -> str:
    """The data: URL of a base64 PNG, JPEG, GIF or WebP image, under its true name. MeshError INVALID_REQUEST.

    Nothing is fetched and nothing decoded beyond base64: the size comes from the image's own header.
    """
    head, comma, encoded = url.partition(",")
    if head[:5].lower() != "data:":
        raise invalid(
            "invalid_image_url",
            f"'{path}' must be a data: URL; this version fetches nothing for its clients. "
            "Send the image itself as data:image/png;base64,...",
            path,
        )
    if not comma or not head.lower().rstrip().endswith(";base64"):
        raise _bad_image(path, "must start with data:image/png;base64, (or jpeg, gif, webp)")
    data, text = _decoded(encoded, path)
    kind = next((each for each in _FORMATS if each.magic.match(data)), None)
    if kind is None:
        raise _bad_image(path, "does not hold a PNG, JPEG, GIF or WebP image")
    if (pixels := kind.pixels(data)) > MAX_PIXELS:
        raise _bad_image(path, f"has {pixels} pixels; the limit is {MAX_PIXELS}")
    clean = f"data:{kind.media_type};base64"
    return url if head == clean and text is encoded else f"{clean},{text}"


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
