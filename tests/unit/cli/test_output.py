"""E14, E18: what is printed is data, whole, one record a line, and looks like nothing it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nexus_cli import output
from nexus_cli.output import advise, console, print_rows
from nexus_cli.progress import Progress

ODD = ["a:b:c", "org/x:cat:y", "[red]m[/red]", "m[/]", "qwen3:8b", "x" * 300, "模型:火"]


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    console.print(f"{name} is loaded at {name}.")
    print_rows(["MODEL", "WHERE"], [[name, "box"], ["m", "box"]], empty="none")
    advise(name)
    out, err = capsys.readouterr()
    first, _, row, _ = out.splitlines()
    assert first == f"{name} is loaded at {name}."
    assert row.split() == [name, "box"]
    assert err == f"{name}\n"


@pytest.mark.parametrize("columns", ["20", "200"])
def test_no_row_is_folded_whatever_the_environment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_rows(["A", "B"], [["x" * 90, "y z"], ["1", ""]], empty="none")
    assert capsys.readouterr().out == f"A{' ' * 91}B\n{'x' * 90}  y z\n1\n"


def test_a_cell_moves_no_cursor_and_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["A"], [["evil\x1b[2J\nname\u2028\x9b1m"]], empty="none")
    assert capsys.readouterr().out == "A\nevil?[2J?name??1m\n"


def test_nothing_to_list_is_told_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(["A"], [], empty="No keys.")
    assert capsys.readouterr() == ("", "No keys.\n")


def test_one_place_makes_consoles() -> None:
    source = Path(output.__file__)
    assert [
        path.name for path in source.parent.glob("*.py") if re.search(r"\bConsole\(", path.read_text())
    ] == [source.name]


def test_what_is_waited_for_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=False)
    progress.waiting(["backend [bold]box[/bold] is :cat:"])
    progress.done()
    assert "🐈" not in capsys.readouterr().out
