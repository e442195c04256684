"""Pages of text as tests need them: pictures, PDFs with text of their own, and what a scanner makes of both."""

from __future__ import annotations

import io
import random
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["STORY", "as_file", "as_pdf", "error_rate", "page", "scanned", "text_pdf"]

STORY = (
    "The harbour office opened at seven, and by half past the queue reached the door. Mrs Whitlock wrote each name "
    "in a blue ledger: 14 boats had come in, 9 had left, and 3 were still waiting for the tide. Nobody complained "
    "about the fee of 12.50, although it had gone up twice since March. At noon a telegram arrived from Lisbon; it "
    "said only that the cargo was dry, the crew well, and the weather kind. She folded it in four and put it under "
    "the lamp. Outside, two men argued about a rope, then laughed, then shared a loaf of bread on the wall."
)
A4 = (1654, 2339)
"""Pixels at 200 dots an inch."""
MARGIN = 150


def page(text: str, size: int = 32, paper: tuple[int, int] = A4) -> Image.Image:
    """Black on white, in the font that Pillow carries. An empty line parts paragraphs."""
    picture = Image.new("L", paper, 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    at = MARGIN
    for paragraph in text.split("\n\n"):
        for line in textwrap.wrap(paragraph, int((paper[0] - 2 * MARGIN) / (size * 0.52))):
            draw.text((MARGIN, at), line, font=font, fill=0)
            at += round(size * 1.5)
        at += round(size * 1.2)
    return picture


def scanned(picture: Image.Image, seed: int = 0, degrees: float = 0.7) -> Image.Image:
    """As a flatbed would have it: a little askew, soft, grey and with noise."""
    rng = np.random.default_rng(seed)
    angle = random.Random(seed).choice((-1, 1)) * degrees
    turned = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    soft = turned.filter(ImageFilter.GaussianBlur(1.0))
    values = np.asarray(soft, np.float32) * 0.82 + 30
    values += rng.normal(0, 9, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def as_file(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def as_pdf(pictures: Sequence[Image.Image]) -> bytes:
    """Pages that are pictures, as scanners make them."""
    first, *rest = pictures
    return as_file(first, "PDF", save_all=True, append_images=rest, resolution=200.0)


def text_pdf(pages: Sequence[Sequence[str]], paper: tuple[float, float] = (595, 842)) -> bytes:
    """Pages with text of their own, in Helvetica."""
    objects: list[bytes] = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    kids: list[int] = []
    for lines in pages:
        shown = b"".join(f"({line}) Tj 0 -18 Td\n".encode() for line in lines)
        content = b"BT /F1 12 Tf 60 760 Td\n" + shown + b"ET"
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %g %g]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (*paper, len(objects))
        )
        kids.append(len(objects))
    named = b" ".join(b"%d 0 R" % number for number in kids)
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), named)
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """A PDF of these objects, the first of them its catalogue."""
    data, places = bytearray(b"%PDF-1.7\n"), []
    for number, each in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    data += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(data)


def error_rate(wanted: str, found: str) -> float:
    """Characters to change, of those that were wanted; blanks count, line ends are blanks."""
    one, other = " ".join(wanted.split()), " ".join(found.split())
    row = list(range(len(other) + 1))
    for number, sign in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, seen in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (sign != seen))
    return row[-1] / max(1, len(one))
