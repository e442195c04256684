"""E19: names of our distributions may be strangers' on a public index; ours come from the disk, and only from there."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path

import pytest
from support.fake_index import FakeIndex, fake_index
from support.house_copy import ROOT
from support.wheels import MEMBERS, NAMES, UV, least_versions, requirements

pytestmark = pytest.mark.security


async def uv(*arguments: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Exit code, and all that uv said."""
    process = await asyncio.create_subprocess_exec(
        UV, *arguments, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "UV_NO_CONFIG": "1", "NO_COLOR": "1"},
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every member of the workspace, built as anybody would."""
    dist = tmp_path_factory.mktemp("dist")
    code, said = asyncio.run(uv("build", "--offline", "--all-packages", "--wheel", "-o", str(dist)))
    assert code == 0, said
    return dist


@pytest.mark.parametrize("strategy", ["first-index", "unsafe-best-match"])
@pytest.mark.parametrize("name", NAMES)
async def test_no_wheel_of_ours_draws_in_a_stranger(
    wheels: Path, tmp_path: Path, name: str, strategy: str
) -> None:
    """Beside an index with higher versions of all our names, whatever uv does with several sources."""
    (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
    with fake_index(least_versions(*wheels.glob("*.whl"))) as index:
        code, said = await resolved(tmp_path, index, strategy, str(wheel), "--find-links", str(wheels))
    assert code == 0, said
    ours = dict(re.findall(r"^(nexus[a-z-]*)==(\S+)$", said, re.MULTILINE))
    assert {one.partition("=")[0] for one in requirements(wheel) if one.startswith("nexus")} <= set(ours), (
        said
    )
    assert all("+" in version for version in ours.values()), said


async def test_pip_takes_ours_from_the_disk_too(wheels: Path, tmp_path: Path) -> None:
    tops = [*wheels.glob("nexus_cli-*.whl"), *wheels.glob("nexus_client-*.whl")]
    with fake_index(least_versions(*wheels.glob("*.whl"))) as index:
        process = await asyncio.create_subprocess_exec(
            UV.with_name("pip"), "install", "--isolated", "--dry-run", "--ignore-installed", "--no-cache-dir",
            "--quiet", "--disable-pip-version-check", "--index-url", index.url, "--find-links", wheels,
            "--report", tmp_path / "report.json", *tops,
        )  # fmt: skip
        assert await process.wait() == 0
    items = json.loads((tmp_path / "report.json").read_text())["install"]
    ours = {
        one["metadata"]["name"]: one["download_info"]["url"]
        for one in items
        if one["metadata"]["name"].startswith("nexus")
    }
    assert len(ours) == len(NAMES)
    assert all(url.startswith("file:") for url in ours.values()), ours


async def test_without_ours_beside_it_a_wheel_is_not_installed_at_all(wheels: Path, tmp_path: Path) -> None:
    """The stranger's package of the same name does not stand in."""
    (wheel,) = wheels.glob("nexus_cli-*.whl")
    with fake_index(least_versions(*wheels.glob("*.whl"))) as index:
        code, said = await resolved(tmp_path, index, "unsafe-best-match", str(wheel))
    assert code != 0
    assert "nexus-" in said
    assert any(name.startswith("nexus-") for name in index.asked)


async def resolved(folder: Path, index: FakeIndex, strategy: str, wheel: str, *more: str) -> tuple[int, str]:
    (folder / "in.txt").write_text(wheel)
    return await uv(
        "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-cache", "--python-version", "3.11",
        "--index-url", index.url, "--index-strategy", strategy, *more, "in.txt", cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_members_take_each_other_from_the_workspace_only(member: Path) -> None:
    """By a source, and by a version that no public index takes: it has a local label."""
    told = MEMBERS[member]
    version = told["project"]["version"]
    assert "+" in version
    assert "optional-dependencies" not in told["project"]
    needed = [one for one in told["project"]["dependencies"] if one.startswith("nexus")]
    sources = told.get("tool", {}).get("uv", {}).get("sources", {})
    for requirement in needed:
        name, _, pinned = requirement.partition("==")
        assert pinned == version, requirement
        assert sources[name] == {"workspace": True}


def test_the_lock_takes_ours_from_the_workspace() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    ours = {one["name"]: one["source"] for one in packages if one["name"].startswith("nexus")}
    assert set(ours) == {"nexus-inference-mesh", *NAMES}
    assert all(source.keys() <= {"editable", "virtual"} for source in ours.values()), ours


INSTALLING = re.compile(
    r"\b(?:pip3?|uv|pipx)\b[^\n`]*\b(?:install|add|download|pip)\b[^\n`]*\bnexus[-_\[]"
    r"|\b(?:uvx|uv tool run|pipx run)\s+nexus"
)


def test_nothing_we_tell_or_run_asks_an_index_for_a_name_of_ours() -> None:
    """The documents, the commands they show, the containers, the Makefile and every sentence of the code."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("compose/*"), ROOT / "Makefile"]
    files += [
        path for top in ("apps", "libs", "services", "tools", "bench") for path in ROOT.glob(f"{top}/**/*.py")
    ]
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text().splitlines()
        if INSTALLING.search(line) or re.search(r"nexus-[a-z-]+\[", line)
    }
    assert not found


@pytest.mark.parametrize(
    "line", ["uv pip install 'nexus-gateway[scrub]'", "pip install nexus-cli", "uvx nexus-cli"]
)
def test_the_search_finds_what_it_is_for(line: str) -> None:
    assert INSTALLING.search(line)
