"""Lines of a page put into the order in which they are read, and into text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from nexus_inference_adapters.documents.answers import Line, Page
from nexus_inference_adapters.documents.pages import Sheet

__all__ = ["markdown_of", "page_of", "text_of"]

GUTTER = 1.5
"""Heights of a line: so wide a blank parts columns."""
PARAGRAPH = 0.7
"""The same between two lines: so high a blank parts paragraphs."""
ROW = 0.5
"""Of the lower height: so much in common makes two lines one row."""
LEAST_OF_COLUMN = 2
DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Box:
    line: Line
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


class _Told(msgspec.Struct):
    text: str
    polygon: list[tuple[float, float]]
    confidence: float | None = None


def page_of(sheet: Sheet, found: bytes, *, turned: bool = False) -> Page:
    """The page with its own text, or with what was recognised on its picture: a list of lines as JSON.

    `turned`: it was read upside down, and so are the places that were found.
    """
    is_own = sheet.form == "text"
    scale = 1.0 if is_own else sheet.scale
    lines = [
        Line(one.text, one.confidence, [(x * scale, y * scale) for x, y in one.polygon])
        for one in msgspec.json.decode(found, type=list[_Told])
    ]
    text, markdown = text_of(lines), markdown_of(lines)
    if turned:
        lines = [replace(line, polygon=_turned(sheet, line)) for line in lines]
    source, size = "text_layer" if is_own else "ocr", (sheet.width, sheet.height, sheet.dpi)
    return Page(sheet.page, markdown, text, source, *size, lines)


def _turned(sheet: Sheet, line: Line) -> list[tuple[float, float]]:
    return [(sheet.width - x, sheet.height - y) for x, y in line.polygon]


def text_of(lines: Sequence[Line]) -> str:
    """Rows from top to bottom, each from left to right; columns one after the other."""
    return "\n".join(" ".join(box.line.text for box in row) for row in _rows_of_page(lines))


def markdown_of(lines: Sequence[Line]) -> str:
    """The same with an empty line between paragraphs."""
    rows = _rows_of_page(lines)
    parts: list[str] = []
    before: list[Box] = []
    for row in rows:
        if before and _is_apart(before, row):
            parts.append("")
        parts.append(" ".join(box.line.text for box in row))
        before = row
    return "\n".join(parts)


def _rows_of_page(lines: Sequence[Line]) -> list[list[Box]]:
    boxes = [_box(line) for line in lines]
    if not boxes:
        return []
    heights = sorted(box.height for box in boxes)
    return _cut(boxes, max(1.0, heights[len(heights) // 2]), DEEPEST)


def _box(line: Line) -> Box:
    across, down = [x for x, _ in line.polygon], [y for _, y in line.polygon]
    return Box(line, min(across), min(down), max(across), max(down))


def _cut(boxes: list[Box], height: float, deepest: int) -> list[list[Box]]:
    """Columns first where there are any, else above from below, else it is rows."""
    if len(boxes) > 1 and deepest:
        columns = _parted(boxes, GUTTER * height, lambda box: (box.left, box.right))
        if len(columns) > 1 and min(len(_rows(each)) for each in columns) >= LEAST_OF_COLUMN:
            return [row for each in columns for row in _cut(each, height, deepest - 1)]
        blocks = _parted(boxes, PARAGRAPH * height, lambda box: (box.top, box.bottom))
        if len(blocks) > 1:
            return [row for each in blocks for row in _cut(each, height, deepest - 1)]
    return _rows(boxes)


def _parted(boxes: list[Box], blank: float, span: Callable[[Box], tuple[float, float]]) -> list[list[Box]]:
    """Cut wherever nothing stands for so many pixels."""
    ordered = sorted(boxes, key=lambda box: span(box)[0])
    parts, reached = [[ordered[0]]], span(ordered[0])[1]
    for box in ordered[1:]:
        begin, end = span(box)
        if begin - reached >= blank:
            parts.append([])
        parts[-1].append(box)
        reached = max(reached, end)
    return parts


def _rows(boxes: list[Box]) -> list[list[Box]]:
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        last = rows[-1][0] if rows else None
        common = 0.0 if last is None else min(last.bottom, box.bottom) - max(last.top, box.top)
        if last is not None and common > ROW * min(last.height, box.height):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: box.left) for row in rows]


def _is_apart(before: list[Box], row: list[Box]) -> bool:
    above, top = max(box.bottom for box in before), min(box.top for box in row)
    height = min(before[0].height, row[0].height)
    return top - above > PARAGRAPH * height or top < min(box.top for box in before)
