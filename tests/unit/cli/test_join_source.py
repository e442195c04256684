"""A6: where `nexus join` takes its token from."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from nexus_cli.join import Source
from nexus_cli.output import Failure

pytestmark = pytest.mark.security
TOKEN = "nxj_secret"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_token_among_the_arguments_is_refused_and_not_repeated() -> None:
    """A6: the process list has it already; our words must not carry it further."""
    with pytest.raises(Failure) as refusal:
        Source(TOKEN).read()
    assert TOKEN not in refusal.value.message + refusal.value.hint
    assert "--token-file" in refusal.value.hint


def test_a_file_is_read(tmp_path: Path) -> None:
    """A6"""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert Source(file=file).read() == TOKEN
    with pytest.raises(Failure, match="cannot be read"):
        Source(file=tmp_path / "none").read()


@pytest.mark.parametrize("argument", ["-", None])
def test_a_pipe_is_read(monkeypatch: pytest.MonkeyPatch, argument: str | None) -> None:
    """A6"""
    monkeypatch.setattr("sys.stdin", io.StringIO(f" {TOKEN}\n"))
    assert Source(argument).read() == TOKEN


def test_at_a_terminal_it_is_asked_for_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A6"""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return f"{TOKEN} "

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", ask)
    assert Source().read() == TOKEN
    assert len(asked) == 1


def test_what_pretends_to_be_a_token_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A6: `nexus join - < /dev/zero` ends."""
    endless = io.StringIO("x" * 100_000)
    monkeypatch.setattr("sys.stdin", endless)
    assert len(Source("-").read()) < 10_000
