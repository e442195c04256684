"""What documents name in passing is there: commands and their flags, targets of make. What stands in fences is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
import typer.main
from nexus_cli.grammar import ALIASES
from nexus_cli.main import app
from support.documents import PAGES
from support.house_copy import ROOT
from typer.core import TyperGroup

TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def named(tool: str) -> Iterator[tuple[str, str]]:
    for page in [*PAGES, "AGENTS.md", "CONTRIBUTING.md"]:
        for code in re.findall(r"`([^`]+)`", FENCE.sub("", (ROOT / page).read_text())):
            if code.startswith(f"{tool} "):
                yield page, " ".join(code.split())


def wrong(code: str) -> str:
    """What of it there is not; empty when it is all there."""
    words = shlex.split(re.sub(r"\[([^\]]*)\]|[<>|].*", r"\1", code))[1:]
    words[:1] = [ALIASES.get(word, word) for word in words[:1]]
    here = typer.main.get_command(app)
    while words and isinstance(here, TyperGroup) and not words[0].startswith("-"):
        if words[0] not in here.commands:
            return words[0]
        here, words = here.commands[words[0]], words[1:]
    flags = {flag for param in here.params for each in (param.opts, param.secondary_opts) for flag in each}
    asked = {word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1}
    return " ".join(asked - flags - {"--help", "-h", "--version"})


def test_commands_are_there_with_their_flags() -> None:
    found = set(named("nexus"))
    assert len(found) > 25, "are they still found?"
    assert {(page, code): what for page, code in found if (what := wrong(code))} == {}


@pytest.mark.parametrize(
    "code", ["nexus statsu", "nexus up --prot 1", "nexus keys crate x", "nexus keys create --zoen"]
)
def test_what_is_not_there_is_told(code: str) -> None:
    assert wrong(code)


def test_targets_of_make_are_there() -> None:
    asked = {(page, word) for page, code in named("make") for word in code.split()[1:2]}
    assert len(asked) > 5
    assert {(page, word) for page, word in asked if word not in TARGETS} == set()
