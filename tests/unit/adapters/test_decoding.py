"""Strangers' pictures: read as they are, or refused in words, before anything large is made of them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import strategies as st
from nexus_inference_adapters.media import UnreadableError, as_file, read_picture
from numpy.typing import NDArray
from support.jpeg import many_scans
from support.png import chunk, png, png_of
from support.properties import examples, given
from support.seen import seen

SMALLEST, LARGEST = 64, 2048
NOISE = np.random.default_rng(1).integers(0, 256, (70, 90, 4)).astype(np.uint8)
FLAT = np.full((70, 90, 3), 200, np.uint8)


def read(data: bytes) -> NDArray[np.uint8]:
    return read_picture(data, SMALLEST, LARGEST)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_is_read_bit_for_bit(channels: int) -> None:
    given = NOISE[..., :channels]
    made = read(png(given))
    assert (made.shape, made.dtype) == ((70, 90, 4), np.uint8)
    assert np.array_equal(made[..., : min(3, channels)], given[..., :3])
    assert np.array_equal(made[..., 3], NOISE[..., 3] if channels == 4 else np.full((70, 90), 255))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("quality", [60, 100])
def test_other_formats_are_read_as_others_read_them(form: str, quality: int) -> None:
    file = as_file(FLAT, form, quality)
    made = read(file)
    assert made.shape == (70, 90, 4)
    assert (made[..., 3] == 255).all()
    assert np.abs(made[..., :3].astype(int) - seen(file).pixels).max() <= 2


def test_a_progressive_jpeg_is_one_too() -> None:
    """With few scans of nothing: with many it takes long, and its process has little time."""
    assert read(many_scans(3)).shape == (2048, 2048, 4)


def webp(kind: bytes, head: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(head)) + head
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(flags: int, wide: int, high: int) -> bytes:
    return bytes([flags, 0, 0, 0]) + (wide - 1).to_bytes(3, "little") + (high - 1).to_bytes(3, "little")


def extended(flags: int, file: bytes, wide: int = 90, high: int = 70) -> bytes:
    """A simple WebP in the form that can hold more."""
    head = b"VP8X" + struct.pack("<I", 10) + canvas(flags, wide, high)
    body = b"WEBP" + head + file[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_webp_in_its_extended_form_is_one_too() -> None:
    file = as_file(FLAT, "webp", 60)
    assert np.array_equal(read(extended(0, file)), read(file))


GIF = b"GIF89a" + struct.pack("<HH", 90, 70) + b"\x00" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
JPEG = as_file(FLAT, "jpeg")


def larger(high: int, wide: int) -> bytes:
    """The JPEG, with another size in its head."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", high, wide) + JPEG[at + 4 :]


REFUSED = {
    "no bytes": (b"", "is no picture that is read here. There are: png, jpeg, webp"),
    "text": (b"hello", "is no picture"),
    "gif": (GIF, "is no picture"),
    "svg": (SVG, "is no picture"),
    "bmp": (b"BM" + bytes(100), "is no picture"),
    "png, its head alone": (png(NOISE)[:20], "is no picture"),
    "jpeg without a size": (b"\xff\xd8\xff\xe0\x00\x10" + bytes(40), "is no picture"),
    "jpeg whose segments lead nowhere": (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000, "is no picture"),
    "png bomb by its head": (png_of(50_000, 50_000, 2, b""), "has 50000x50000 pixels"),
    "png without pixels": (png_of(90, 70, 2, zlib.compress(b"")), "is damaged"),
    "png of two thousand million": (png_of(2**31 - 1, 1, 2, b""), "pixels a side"),
    "jpeg bomb": (larger(65_500, 65_500), "has 65500x65500 pixels"),
    "webp bomb": (webp(b"VP8X", canvas(0, 2**24, 2**24)), "has 16777216x16777216 pixels"),
    "webp whose picture is larger than its canvas": (
        extended(0, as_file(np.zeros((1000, 1000, 3), np.uint8), "webp", 60)),
        "is damaged",
    ),
    "too small": (png(NOISE[:63]), "Taken are pictures of 64 to 2048 pixels a side"),
    "no pixels": (png_of(0, 0, 2, b""), "has 0x0 pixels"),
    "apng": (png(NOISE, [chunk(b"acTL", struct.pack(">II", 10_000, 0))]), "moves"),
    "webp that moves": (extended(2, as_file(FLAT, "webp", 60)), "moves"),
    **{
        f"half a {form}": (data[: len(data) // 2], "is damaged, or not whole")
        for form, data in {
            "png": png(NOISE),
            "jpeg": as_file(NOISE[..., :3].copy(), "jpeg"),
            "webp": as_file(NOISE[..., :3].copy(), "webp", 80),
        }.items()
    },
}


@pytest.mark.security
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_told(name: str) -> None:
    data, why = REFUSED[name]
    with pytest.raises(UnreadableError, match=why):
        read(data)


def test_more_bytes_than_a_png_has_pixels_are_never_unpacked() -> None:
    """The pixels it says it has are there; the rest of what is packed is not looked at."""
    lines = bytes(70 * (1 + 90 * 3))
    packed = zlib.compress(lines + bytes(100_000_000), 9)
    assert read(png_of(90, 70, 2, packed)).shape == (70, 90, 4)


BEGINS = st.sampled_from([png(NOISE), JPEG, as_file(FLAT, "webp"), as_file(FLAT, "webp", 60)])


@pytest.mark.security
@examples(300)
@given(BEGINS, st.integers(0, 200), st.binary(max_size=60))
def test_any_bytes_are_a_picture_or_refused(file: bytes, at: int, noise: bytes) -> None:
    try:
        made = read(file[:at] + noise + file[at + len(noise) :])
    except UnreadableError:
        return
    assert made.shape[2] == 4
    assert max(made.shape) <= LARGEST
