"""Images in a prompt: only data: URLs, and only what their first bytes say they are."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable

from nexus_mesh.errors import MeshError

from nexus_gateway.validation.refusals import invalid

MAX_PIXELS = 40_000_000

_MAGIC: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/jpg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}


def check_image_url(url: str, path: str) -> None:
    """MeshError INVALID_REQUEST unless `url` is a data: URL with a base64 PNG, JPEG, GIF or WebP image.

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
    kind, _, encoding = head[5:].lower().partition(";")
    magic = _MAGIC.get(kind)
    if magic is None or encoding != "base64" or not comma:
        raise _bad_image(path, "must start with data:image/png;base64, (or jpeg, gif, webp)")
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise _bad_image(path, "is not valid base64") from None
    if not data.startswith(magic):
        raise _bad_image(path, f"does not hold an image of type {kind}")
    size = _SIZES.get(kind)
    if size is not None and (pixels := size(data)) > MAX_PIXELS:
        raise _bad_image(path, f"has {pixels} pixels; the limit is {MAX_PIXELS}")


def _bad_image(path: str, why: str) -> MeshError:
    return invalid("invalid_image", f"'{path}' {why}.", path)


def _png_pixels(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
    return width * height


def _gif_pixels(data: bytes) -> int:
    width, height = struct.unpack_from("<HH", data.ljust(10, b"\0"), 6)
    return width * height


_SIZES: dict[str, Callable[[bytes], int]] = {"image/png": _png_pixels, "image/gif": _gif_pixels}
