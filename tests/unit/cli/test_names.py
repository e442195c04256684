"""Tab offers the names that a running mesh keeps, of that mesh only, and none that may be old."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest
from nexus_cli import names
from nexus_cli.layout import Layout
from support.cli_modules import HEAVY, loaded

NAMES = {"models": ["llama3.1:8b", "qwen3"], "backends": ["ollama"], "keys": ["laptop"]}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "home")
    layout.prepare()
    return layout


def offered(layout: Layout, *words: str) -> list[str]:
    out, modules = loaded("__complete", *words, home=layout.home)
    assert modules & HEAVY == set()
    return out.split()


def test_names_are_offered_while_a_mesh_runs_and_little_is_loaded(layout: Layout) -> None:
    names.write(layout, NAMES)
    assert offered(layout, "load", "") == [], "no mesh runs"
    with layout.only_one():
        assert offered(layout, "load", "") == ["llama3.1:8b", "qwen3"]
        assert offered(layout, "chat", "qw") == ["qwen3"]
        assert offered(layout, "load", "--backend", "") == ["ollama"]
        assert offered(layout, "keys", "revoke", "l") == ["laptop"]
    assert offered(layout, "load", "") == []


def test_a_home_given_on_the_line_is_the_one(layout: Layout, tmp_path: Path) -> None:
    names.write(layout, NAMES)
    with layout.only_one():
        out, _ = loaded("__complete", "load", "--home", str(layout.home), "q", home=tmp_path / "other")
    assert out.split() == ["qwen3"]


def test_old_names_are_not_offered_and_the_same_again_are_good_again(layout: Layout) -> None:
    names.write(layout, NAMES)
    file = layout.home / "run" / "names.json"
    long_ago = time.time() - names.GOOD_SECONDS - 1
    with layout.only_one():
        os.utime(file, (long_ago, long_ago))
        assert names.read(layout, "models") == []
        before = file.stat().st_ino
        names.write(layout, NAMES)
        assert names.read(layout, "models") == NAMES["models"]
        assert file.stat().st_ino == before, "what has not changed is not written"
        names.write(layout, {**NAMES, "models": ["qwen3"]})
        assert names.read(layout, "models") == ["qwen3"]


@pytest.mark.parametrize("text", ["", "[]", '{"models": 3}', "{}"])
def test_a_file_that_is_none_offers_nothing(layout: Layout, text: str) -> None:
    (layout.home / "run" / "names.json").write_text(text)
    with layout.only_one():
        assert names.read(layout, "models") == []


def test_only_its_owner_may_read_it(layout: Layout) -> None:
    names.write(layout, NAMES)
    assert (layout.home / "run" / "names.json").stat().st_mode & 0o777 == 0o600


def test_who_looks_who_has_the_home_keeps_no_mesh_from_starting(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = (layout.home / "run" / "up.lock").open("w")
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _: looking.close())  # as a Tab does in a moment
    with layout.only_one():
        assert layout.holder() == os.getpid()
    assert looking.closed
