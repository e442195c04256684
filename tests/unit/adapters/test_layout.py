"""Lines of a page in the order in which they are read."""

from __future__ import annotations

from nexus_inference_adapters.documents import Line, markdown_of, text_of


def at(left: float, top: float, text: str, width: float = 200, height: float = 20) -> Line:
    right, bottom = left + width, top + height
    return Line(text, 0.9, ((left, top), (right, top), (right, bottom), (left, bottom)))


def test_rows_from_left_to_right() -> None:
    lines = [at(300, 12, "b", 100), at(0, 10, "a", 290), at(0, 34, "c")]
    assert text_of(lines) == "a b\nc"


def test_paragraphs_are_parted_by_blank() -> None:
    lines = [at(0, 0, "a"), at(0, 25, "b"), at(0, 70, "c")]
    assert markdown_of(lines) == "a\nb\n\nc"
    assert text_of(lines) == "a\nb\nc"


def test_columns_below_a_heading() -> None:
    lines = [
        at(0, 0, "heading", 600),
        *(at(0, 60 + 25 * row, f"left {row}") for row in range(3)),
        *(at(400, 60 + 25 * row, f"right {row}") for row in range(3)),
    ]
    assert text_of(lines).split("\n") == [
        "heading", "left 0", "left 1", "left 2", "right 0", "right 1", "right 2",
    ]  # fmt: skip


def test_a_table_of_one_row_is_a_row() -> None:
    assert text_of([at(0, 0, "Sum"), at(400, 0, "12.50")]) == "Sum 12.50"


def test_nothing_is_nothing() -> None:
    assert (text_of([]), markdown_of([])) == ("", "")


def test_lines_that_lean_over_each_other_come_to_an_end() -> None:
    lines = [at(index * 3 % 50, index * 7 % 90, str(index), 60, 30) for index in range(2000)]
    assert len(text_of(lines).split()) == 2000
