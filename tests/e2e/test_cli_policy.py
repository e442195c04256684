"""`nexus policy` against a running mesh: what is set answers at the endpoint, what does not hold changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.e2e_cli import Ran, nexus
from support.e2e_mesh import listed_models, serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_TOML = '[routing.aliases]\n"of-toml" = "fake-model"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with FakeOpenAI() as fake:
        config = backend("box", fake.url) + OF_TOML
        async with serving(tmp_path_factory.mktemp("policy"), config, "fake-model", "of-toml") as mesh:
            yield mesh


@pytest_asyncio.fixture(loop_scope="module")
async def home(mesh: LiveMesh) -> AsyncIterator[Path]:
    yield mesh.layout.home
    assert (await nexus(mesh.layout.home, "policy", "reset")).code == 0


def written(home: Path, *aliases: str) -> str:
    """A policy file that gives the model these other names."""
    path = home / "wanted.toml"
    lines = "".join(f'"{alias}" = "fake-model"\n' for alias in aliases)
    path.write_text(f"[routing.aliases]\n{lines}")
    return str(path)


async def offers(mesh: LiveMesh, *aliases: str) -> None:
    async def check() -> bool:
        return {*await listed_models(mesh.base_url)} == {"fake-model", *aliases}

    await eventually(check, timeout=20, what=f"the endpoint offering {aliases}")


async def put(home: Path, *aliases: str) -> Ran:
    ran = await nexus(
        home, "policy", "set", written(home, *aliases), "--comment", f"for {', '.join(aliases)}"
    )
    assert ran.code == 0, ran.err
    return ran


async def shown(home: Path) -> dict[str, object]:
    return (await nexus(home, "policy", "show", "--json")).json


async def test_what_is_set_is_in_force_and_can_be_taken_back(mesh: LiveMesh, home: Path) -> None:
    await offers(mesh, "of-toml")
    ran = await put(home, "first")
    assert '-of-toml = "fake-model"' in ran.out
    assert '+first = "fake-model"' in ran.out
    await offers(mesh, "first")
    await put(home, "second")
    await offers(mesh, "second")
    back = await nexus(home, "policy", "rollback")
    assert '+first = "fake-model"' in back.out
    await offers(mesh, "first")
    told = await shown(home)
    assert (told["policy"], told["in_force"], told["differs_from_file"]) == (
        {"aliases": {"first": "fake-model"}},
        True,
        True,
    )
    assert (await nexus(home, "policy", "reset")).code == 0
    await offers(mesh, "of-toml")
    assert (await shown(home))["reset"]


async def test_the_history_tells_who_and_why(home: Path) -> None:
    await put(home, "a")
    await put(home, "b")
    newest, before, *_ = (await nexus(home, "policy", "history", "--json")).json
    assert (newest["in_force"], newest["comment"], before["comment"]) == (True, "for b", "for a")
    assert "/operator/local" in newest["author"]
    table = await nexus(home, "policy", "history")
    assert f"{newest['revision']} *" in table.out
    assert "for a" in table.out


async def test_diff_shows_what_a_file_would_change_and_what_revisions_did(home: Path) -> None:
    await put(home, "old")
    would = await nexus(home, "policy", "diff", written(home, "old", "new"))
    assert '+new = "fake-model"' in would.out
    assert "-old" not in would.out
    since = await nexus(home, "policy", "diff")
    assert "--- nexus.toml" in since.out
    assert '-of-toml = "fake-model"' in since.out
    number = str((await shown(home))["revision"])
    assert "Nothing differs." in (await nexus(home, "policy", "diff", number)).out
    between = (await nexus(home, "policy", "diff", number, "0", "--json")).json["changes"]
    assert '+of-toml = "fake-model"' in between


async def test_what_is_shown_can_be_set_again(home: Path, tmp_path: Path) -> None:
    ran = await put(home, "llama3.1:70b", "a:key:b", "[red]")
    text = (await nexus(home, "policy", "show", "--toml")).out
    assert text == (home / "wanted.toml").read_text()
    (tmp_path / "again.toml").write_text(text)
    again = await nexus(home, "policy", "set", str(tmp_path / "again.toml"))
    assert "in force already" in again.out
    assert '"a:key:b"' in ran.out
    assert text in (await nexus(home, "policy", "show")).out


BAD = {
    '[routing.aliases]\na = "b"\nb = "a"\n': ["aliases", "circle: a -> b -> a"],
    '[routing.aliases]\n"gpt-4.1" = 3\n': ['aliases."gpt-4.1"', "must be text"],
    '[routing]\nalias = "x"\n': ["alias", "not a known setting", "aliases"],
    '[aliases]\na = "b"\n': ["[aliases]", "[routing.aliases]"],
    "": ["no table [routing]"],
    "[routing": ["not valid TOML"],
    '{"aliases": 1}': ["must be a table"],
}


async def test_what_does_not_hold_is_refused_with_the_old_in_force(mesh: LiveMesh, home: Path) -> None:
    await put(home, "good")
    before, path = await shown(home), home / "bad.toml"
    for content, words in BAD.items():
        path.write_text(content)
        (await nexus(home, "policy", "set", str(path))).assert_refused(*words)
    for command in ("check", "diff"):
        (await nexus(home, "policy", command, str(path))).assert_refused("must be a table")
    assert await shown(home) == before
    await offers(mesh, "good")


async def test_check_changes_nothing(home: Path) -> None:
    before = await shown(home)
    ran = await nexus(home, "policy", "check", written(home, "other"))
    assert ran.code == 0
    assert "It holds" in ran.out
    assert '+other = "fake-model"' in ran.out
    assert await shown(home) == before


async def test_what_is_not_there_is_refused(home: Path) -> None:
    (await nexus(home, "policy", "rollback", "9999")).assert_refused("no revision 9999", "history")
    (await nexus(home, "policy", "show", "--revision", "9999")).assert_refused("no revision 9999")
    (await nexus(home, "policy", "set", "nowhere.toml")).assert_refused("nowhere.toml cannot be read")


async def test_it_is_in_force_after_the_router_was_killed(mesh: LiveMesh, home: Path) -> None:
    await put(home, "kept")
    number = (await shown(home))["revision"]
    mesh.kill("router")
    await eventually(lambda: not mesh.running("router"), timeout=20, what="the router's end")
    await offers(mesh, "kept")
    mesh.revive("router")

    async def back() -> bool:
        told = await nexus(home, "explain", "kept", "--json")
        return told.code == 0 and (told.json["model"], told.json["policy"]) == ("fake-model", number)

    await eventually(back, timeout=60, what="the router's return")
    assert (await shown(home))["revision"] == number
