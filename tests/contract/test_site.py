"""The documents as a site: what would be broken there is told, and its pages load nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.house_copy import ROOT

from tools import site

MENU = '[project]\nnav = [{ "A" = "README.md" }, { "B" = "docs/b.md" }]\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "zensical.toml").write_text(MENU)
    (tmp_path / "README.md").write_text(
        "[b](docs/b.md#x) [away](https://example.com)\n```\n[c](not.md)\n```\n"
    )
    (tmp_path / "docs" / "b.md").write_text("[back](../README.md) [file](../LICENSE)\n")
    (tmp_path / "LICENSE").touch()
    return tmp_path


def told(tree: Path) -> list[str]:
    known = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    pages, wrong = site.linked(tree, known)
    return wrong + site.complaints(tree, known, pages)


def test_what_is_linked_is_taken(tree: Path) -> None:
    assert site.linked(tree, {"README.md", "docs/b.md", "LICENSE"}) == (
        ["LICENSE", "README.md", "docs/b.md"],
        [],
    )
    assert told(tree) == []


def test_a_link_to_nothing(tree: Path) -> None:
    (tree / "docs" / "b.md").write_text("[gone](gone.md)\n")
    assert told(tree) == ["docs/b.md: gone.md is no file that git knows of"]


def test_a_link_to_a_folder_is_one_to_its_readme(tree: Path) -> None:
    (tree / "more").mkdir()
    (tree / "more" / "README.md").touch()
    (tree / "docs" / "b.md").write_text("[more](../more)\n")
    assert told(tree) == []
    assert site.with_files("[more](../more/)", "docs/b.md", {"more/README.md"}) == "[more](../more/README.md)"


def test_a_page_that_nothing_leads_to(tree: Path) -> None:
    (tree / "docs" / "c.md").touch()
    assert told(tree) == ["docs/c.md: no link leads to it", "docs/c.md: not in the menu (zensical.toml)"]


def test_a_page_of_the_menu_that_is_none(tree: Path) -> None:
    (tree / "zensical.toml").write_text(MENU.replace("docs/b.md", "docs/z.md"))
    assert "docs/z.md: in the menu, and no page" in told(tree)


def test_the_site_is_built_and_loads_nothing_from_elsewhere() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "site.py"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = list((ROOT / ".site" / "html").rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text()
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//[^"]*', text), page
        assert not re.findall(
            r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="(?:https?:)?//[^"]*', text
        ), page
