"""The newcomer's script: every command of README.md and docs/ is typed as it stands, and gives what the page shows.

In a fence `sh` each command must succeed. In a `console` what it prints must also fit what is shown below it, where
`...` stands for anything on its line and, alone on a line, for any lines: the only mask there is. A `python` fence is
run, a `toml` one is checked as nexus.toml; `json` and `text` are only to be read. A fence without a word fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nexus_cli.layout import Layout
from support.documents import LANGUAGES, PAGES, Block, Reader, blocks, fits, reading
from support.house_copy import ROOT
from support.lan import lan, why_not

NOT_RUN = {
    ("README.md", "make install"): "asks a package index",
    ("docs/install.md", "systemctl --user enable --now nexus"): "needs a user's systemd",
    ("docs/upgrade.md", "git pull"): "asks where the checkout came from",
    ("docs/upgrade.md", "make install"): "asks a package index",
    ("docs/upgrade.md", "make uninstall"): "needs what `make install` made",
}
"""What can't run here, and why. `make install` and `uninstall` run in integration/packaging/test_make_install.py."""

STAYS = {
    ("README.md", "make up"): "NEXUS is ready.",
    ("docs/machines.md", "nexus join"): "Ctrl-C stops serving.",
}
"""Commands that stay in the foreground, and what they say when they are ready. They get a Ctrl-C at the page's end."""

ON_THE_SECOND = {("docs/machines.md", "nexus join")}
"""What the page has its reader type on the other machine; there they are given the token that was printed last."""

TAKES_SECONDS = {("docs/machines.md", "nexus status")}
"""What the page says will be so soon; it is typed again until it is."""

HAS_A_MESH = {
    f"docs/{name}.md" for name in ("client", "operations", "privacy", "quickstart", "routing", "upgrade")
}
"""Pages whose reader has a mesh already; the others' has none."""

TRIES = 20
RUN = {"sh", "console", "python", "toml"}
WITH_COMMANDS = sorted(
    (page for page in PAGES if any(one.language in RUN for one in blocks(page))), key=HAS_A_MESH.__contains__
)
"""Those whose reader has a mesh come last, and share one."""


def steps() -> set[tuple[str, str]]:
    return {
        (page, _bare(step.command))
        for page in PAGES
        for block in blocks(page)
        if block.language in ("sh", "console")
        for step in block.steps
    }


def test_every_fence_says_what_it_is() -> None:
    unsaid = [
        f"{one.page}:{one.line}" for page in PAGES for one in blocks(page) if one.language not in LANGUAGES
    ]
    assert unsaid == []
    fences = sum((ROOT / page).read_text().count("\n```") for page in PAGES)
    assert fences == 2 * sum(len(blocks(page)) for page in PAGES), (
        "one is indented or unclosed, and passed over"
    )


def test_no_row_about_commands_that_are_none() -> None:
    assert NOT_RUN.keys() | STAYS.keys() | ON_THE_SECOND | TAKES_SECONDS <= steps()
    assert set(WITH_COMMANDS) >= HAS_A_MESH
    assert len(steps()) > 40, "are they still found?"


def test_no_page_with_commands_is_passed_over() -> None:
    everywhere = {
        str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md") if "```sh" in path.read_text()
    }
    assert everywhere <= set(WITH_COMMANDS)
    assert {"README.md", "docs/install.md", "docs/operations.md"} <= set(WITH_COMMANDS)


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        ("a", "a\n", True),
        ("a", "a\nb\n", False),
        ("a", "", False),
        ("", "a\n", False),
        ('{"id":"..."}', '{"id":"x9"}', True),
        ("a...", "a\nb", False),
        ("a\n...\nb", "a\nb", True),
        ("a\n...\nb", "a\nx\ny\nb", True),
        ("...", "anything\nat all\n", True),
    ],
)
def test_what_is_shown_is_compared(shown: str, printed: str, fit: bool) -> None:
    assert fits(shown, printed) is fit


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Reader, Reader]]:
    """On two machines; the home of the first one is kept from page to page, as a newcomer's is."""
    if why := await why_not():
        pytest.skip(f"the commands take the usual ports, so they run on a network of their own, and {why}")
    folder = tmp_path_factory.mktemp("readers")
    async with (
        lan() as net,
        reading(net.first, folder / "first") as first,
        reading(net.second, folder / "second") as second,
    ):
        yield first, second


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("page", WITH_COMMANDS)
async def test_a_page(page: str, readers: tuple[Reader, Reader]) -> None:
    first, second = readers
    here = page in HAS_A_MESH
    await make_it_so(first, mesh=here)
    try:
        for block in blocks(page):
            await read(block, first, second)
    finally:
        await second.ctrl_c()
        await first.ctrl_c()
        if not here:
            await make_it_so(first, mesh=False)


async def make_it_so(reader: Reader, mesh: bool) -> None:
    running = Layout(reader.folder / "home" / ".local" / "share" / "nexus").holder() is not None
    if running != mesh:
        status, screen = await reader.type("nexus up --detach" if mesh else "nexus stop")
        assert status == 0, screen


async def read(block: Block, first: Reader, second: Reader) -> None:
    where = f"{block.page}:{block.line}"
    if block.language in ("sh", "console"):
        for step in block.steps:
            await follow(block, step.command, step.shown, first, second)
    elif block.language == "python":
        (first.folder / "empty" / "page.py").write_text(block.text)
        status, screen = await first.type("python page.py")
        assert status == 0, f"{where}: {screen}"
        assert screen.strip(), where
    elif block.language == "toml":
        (first.folder / "page.toml").write_text(block.text)
        status, screen = await first.type(f"nexus config check --config {first.folder}/page.toml")
        assert status == 0, f"{where}: {screen}"


async def follow(block: Block, command: str, shown: str | None, first: Reader, second: Reader) -> None:
    row = (block.page, _bare(command))
    if row in NOT_RUN:
        return
    there = row in ON_THE_SECOND
    reader, given = (second, (first.folder / "token").read_text()) if there else (first, "")
    status, screen = 0, ""
    if row in STAYS:
        screen = await reader.type_and_leave(command, given, STAYS[row])
    else:
        status, screen = await reader.type(command, given)
        for _ in range(TRIES if row in TAKES_SECONDS else 0):
            if not fits(shown or "", screen):
                await asyncio.sleep(1)
                status, screen = await reader.type(command, given)
    told = f"{block.page}:{block.line}: $ {command}\n{screen}"
    assert status == 0, told
    assert shown is None or fits(shown, screen), f"{told}\n-- but the page shows:\n{shown}"
    for line in screen.splitlines():
        if line.startswith("nxj_"):
            (first.folder / "token").write_text(line)


def _bare(command: str) -> str:
    """Without the page's comment."""
    return command.partition(" #")[0].strip()
