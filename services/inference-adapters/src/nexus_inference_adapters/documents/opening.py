"""The process that opens documents: run as a file, for one document, so that it never sees two of different people.

The order on standard input is a line of JSON, {"size", "pages", "text_layer", "side", "form"}, and behind it the bytes.
Each page is an output: pixels of three bytes, a JPEG, or the lines of a PDF's own text as JSON.
"""

from __future__ import annotations

import ctypes
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nexus_inference_adapters.children import Frames, confine, one_more_job

MEMORY = 1536 << 20
PAGE_SECONDS = 20
"""Of CPU, for opening and for each page."""
MOST_PAGES = 300
MOST_PIXELS = 64_000_000
DPI, LEAST_DPI = 200, 36
MOST_CHARACTERS, MOST_RECTANGLES = 200_000, 20_000
PICTURE_SHARE = 0.1
"""A picture on so much of a page may be what there is to read on it."""
PICTURES = ("PNG", "JPEG", "WEBP", "TIFF")
KINDS = "PNG, JPEG, WebP and TIFF pictures, and PDF"
OTHERS = (
    (b"PK\x03\x04", "is a ZIP archive, as those of office programs are: send a PDF of it"),
    (b"GIF8", "is a GIF picture: send it as PNG"),
    (b"\x1f\x8b", "is compressed: send the document itself"),
)


class Refused(Exception):
    """What is wrong with the document, as the end of a sentence that begins with it."""


@dataclass(frozen=True, slots=True)
class Made:
    """One page. `scale`: pixels of the page for each of those it is sent in."""

    data: bytes
    form: str
    width: int
    height: int
    dpi: int = 0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A document: how many pages it has, and one of them by its number."""

    count: int
    page: Callable[[int], Made]


def main() -> None:
    confine(MEMORY)
    one_more_job(PAGE_SECONDS)
    frames = Frames()
    order = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(order["size"])
    try:
        _send(_opened(data, order), order["pages"], frames)
    except Refused as refused:
        frames.done(refused=str(refused))
    except MemoryError:
        frames.done(refused="takes more memory than a document may to be opened")


def _send(document: Opened, asked: Sequence[int] | None, frames: Frames) -> None:
    numbers = range(document.count) if asked is None else asked
    if not document.count:
        raise Refused("has no pages")
    if numbers[-1] >= document.count:
        last = document.count - 1
        raise Refused(f"has {document.count} pages, of which the last is {last}, counted from 0")
    if len(numbers) > MOST_PAGES:
        raise Refused(
            f"has {len(numbers)} pages to read, and {MOST_PAGES} are taken: ask for some by `pages`"
        )
    for done, number in enumerate(numbers):
        one_more_job(PAGE_SECONDS)
        made = document.page(number)
        frames.output(
            made.data, page=number, done=done, total=len(numbers), form=made.form, width=made.width,
            height=made.height, dpi=made.dpi, scale=made.scale,
        )  # fmt: skip
    frames.done(pages=len(numbers))


def _opened(data: bytes, order: dict[str, Any]) -> Opened:
    if b"%PDF-" in data[:1024]:
        return _pdf(data, order)
    for magic, why in OTHERS:
        if data.startswith(magic):
            raise Refused(why)
    return _picture(data, order)


def _picture(data: bytes, order: dict[str, Any]) -> Opened:
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # looked at below, and a warning would not be

    def page(number: int) -> Made:
        try:
            image.seek(number)
            _check_size(image.size)
            image.load()
            return _sent(_upright(image), order, _dpi_of(image))
        except (OSError, EOFError, SyntaxError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise Refused(_broken(number, error)) from None

    try:
        image = Image.open(io.BytesIO(data), formats=PICTURES)
        _check_size(image.size)
        return Opened(getattr(image, "n_frames", 1) if image.format == "TIFF" else 1, page)
    except UnidentifiedImageError:
        raise Refused(f"is no document that can be read here: it takes {KINDS}") from None
    except (OSError, EOFError, SyntaxError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise Refused(_broken(0, error)) from None


def _broken(number: int, error: Exception) -> str:
    cut = "truncated" in str(error).lower()
    return f"{'was cut off' if cut else 'is damaged'}: page {number} of it cannot be read whole"


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise Refused(f"has {width} x {height} pixels, and {MOST_PIXELS // 1_000_000} million are taken")
    if min(size) < 1:
        raise Refused("has no pixels")


def _dpi_of(image: Any) -> int:
    told = image.info.get("dpi")
    try:
        return max(0, min(9999, round(float(told[0])))) if told else 0
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, IndexError):
        return 0


def _upright(image: Any) -> Any:
    """In colours, on white, the right way up."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _sent(image: Any, order: dict[str, Any], dpi: int) -> Made:
    """An upright picture, no side longer than is wanted."""
    from PIL import Image

    width, height = image.size
    scale = max(1.0, max(width, height) / order["side"])
    if scale > 1:
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        image = image.resize(size, Image.Resampling.BOX if scale > 2 else Image.Resampling.LANCZOS)
    if order["form"] == "jpeg":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        return Made(file.getvalue(), "jpeg", width, height, dpi, scale)
    return Made(image.tobytes(), "pixels", width, height, dpi, scale)


def _pdf(data: bytes, order: dict[str, Any]) -> Opened:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise Refused("is encrypted: send it without a password") from None
        raise Refused("is damaged: no PDF that can be read") from None

    def page(number: int) -> Made:
        try:
            return _page_of(document[number], order)
        except pypdfium2.PdfiumError:
            raise Refused(f"is damaged: page {number} of it cannot be read") from None

    return Opened(len(document), page)


def _page_of(page: Any, order: dict[str, Any]) -> Made:
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise Refused("has a page without any size")
    scale = min(DPI / 72, order["side"] / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale * 72 < LEAST_DPI and order["form"] != "text":
        inches = f"{width / 72:.0f} x {height / 72:.0f}"
        raise Refused(f"has a page of {inches} inches, too large to be read as one picture: cut it up")
    if order["text_layer"] and (lines := _own_text(page, size)):
        return Made(json.dumps(lines).encode(), "text", *size, round(scale * 72))
    image = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True).to_pil().convert("RGB")
    made = _sent(image, {**order, "side": max(order["side"], *image.size)}, round(scale * 72))
    page.close()
    return made


def _own_text(page: Any, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Lines of a page's text layer; none where it may not be all that is to be read."""
    texts = page.get_textpage()
    count = texts.count_chars()
    if not count:
        return []
    if count > MOST_CHARACTERS:
        raise Refused(f"has a page of {count} characters, and {MOST_CHARACTERS} are taken")
    if _pictured(page) > PICTURE_SHARE:
        return []
    rectangles = texts.count_rects()
    if rectangles > MOST_RECTANGLES:
        raise Refused(f"has a page with text in {rectangles} places, and {MOST_RECTANGLES} are taken")
    lines = []
    for index in range(rectangles):
        left, bottom, right, top = texts.get_rect(index)
        text = texts.get_text_bounded(left, bottom, right, top).strip()
        if "\ufffd" in text or "\x00" in text:
            return []  # its font does not tell what its signs mean
        if text:
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            lines.append({"text": text, "polygon": list(_pixels(page, size, corners))})
    return lines


def _pixels(
    page: Any, size: tuple[int, int], corners: Sequence[tuple[float, float]]
) -> Iterator[tuple[int, int]]:
    from pypdfium2 import raw

    x, y = ctypes.c_int(), ctypes.c_int()
    for across, up in corners:
        raw.FPDF_PageToDevice(page, 0, 0, *size, 0, across, up, x, y)
        yield x.value, y.value


def _pictured(page: Any) -> float:
    """The largest share of the page that one picture takes."""
    from pypdfium2 import raw

    width, height = page.get_size()
    share = 0.0
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4):
        left, bottom, right, top = picture.get_bounds()
        share = max(share, (right - left) * (top - bottom) / (width * height))
    return share


if __name__ == "__main__":
    main()
