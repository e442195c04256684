"""Every help text fits a terminal of 80 columns, has its section, and its examples are lines that parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
import typer.main
from nexus_cli.examples import EXAMPLES
from nexus_cli.grammar import ALIASES, SECTIONS
from nexus_cli.main import app
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

ROOT = typer.main.get_command(app)
WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
INTERNAL = re.compile(r"\b(servicer|proto|protobuf|grpc|coroutine|argv|pydantic)\b", re.IGNORECASE)


def commands(
    command: TyperCommand | TyperGroup = ROOT,  # type: ignore[assignment]
    path: tuple[str, ...] = (),
) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


PATHS = list(commands())


def found(path: tuple[str, ...]) -> TyperCommand | TyperGroup:
    command = ROOT
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    return command  # type: ignore[return-value]


def said(*arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(app, list(arguments), env=WIDE, prog_name="nexus")
    return ran.exit_code, ran.output


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_fits_and_speaks_plainly(path: tuple[str, ...]) -> None:
    code, text = said(*path, "--help")
    assert code == 0
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert not INTERNAL.search(text)
    assert text.endswith("\n")


def test_h_is_help_and_help_is_a_command() -> None:
    assert said("-h") == said("--help") == said("help")
    assert said("help", "keys", "create") == said("keys", "create", "-h")


def test_version_is_told_by_each_habit() -> None:
    assert said("--version") == said("-V") == said("version")


def test_every_section_of_the_help_has_commands_and_every_command_a_section() -> None:
    _, text = said("-h")
    headings = [line[:-1] for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings == ["Options", *SECTIONS[:-1], "Examples"]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_what_the_examples_call_is_there(path: tuple[str, ...]) -> None:
    for line in EXAMPLES.get(" ".join(path), ()):
        after = re.split(r"\bnexus\b", line, maxsplit=1)[1]
        words = shlex.split(re.split(r"[<>|)]", after)[0])
        assert words[: len(path)] == list(path), line
        here = tuple(words[: len(path) + (hasattr(found(path), "commands"))])
        flags = {flag for param in found(here).params for flag in param.opts}
        assert {word for word in words if word.startswith("-")} <= flags, line


def test_no_examples_of_nothing() -> None:
    assert set(EXAMPLES) <= {" ".join(path) for path in PATHS}


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_the_command_and_no_help_shows_it(alias: str) -> None:
    code, text = said(alias, "--help")
    assert code == 0
    assert text.splitlines()[2:] == said(ALIASES[alias], "--help")[1].splitlines()[2:]
    assert f"\n  {alias} " not in said("-h")[1]
