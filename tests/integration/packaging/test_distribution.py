"""One wheel under one name has all of NEXUS, and nothing that an index has under the names of its members."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.fake_index import FakeIndex, fake_index
from support.house_copy import ROOT
from support.wheels import MEMBERS, NAMES, UV, least_versions, metadata, name_of, requirements

PIP = UV.with_name("pip")
ONE = "nexus-inference-mesh"
SAYS = "import importlib.metadata as m; print(*sorted(d.metadata['Name'] for d in m.distributions()))"

pytestmark = pytest.mark.security


def run(*command: str | Path, **environment: str) -> str:
    ran = subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "UV_NO_CONFIG": "1", "NO_COLOR": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of the checkout, and the wheel built from that archive."""
    out = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", out)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


def test_the_wheel_has_every_file_of_every_member(wheel: Path) -> None:
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*/*/src/*").splitlines()
    ours = {
        path.split("/src/", 1)[1] for path in listed if path.split("/")[0] in ("apps", "libs", "services")
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == ours


def test_the_source_archive_has_what_it_is_built_from_and_no_more(dist: Path) -> None:
    (found,) = dist.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops == {
        "apps",
        "libs",
        "services",
        "tools",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
        "PKG-INFO",
    }


def test_it_needs_what_its_members_need_of_others_and_none_of_ours(wheel: Path) -> None:
    def plain(requirement: str) -> str:
        return re.sub(r"[\s\"']", "", requirement)

    needed = {
        plain(one)
        for told in MEMBERS.values()
        for one in told["project"]["dependencies"]
        if name_of(one) not in NAMES
    }
    assert {plain(one) for one in requirements(wheel)} == needed
    assert not {name_of(one) for one in needed} & {*NAMES, ONE}
    assert metadata(wheel).get_all("Provides-Extra", []) == ["ocr", "s3", "speech"]


def test_it_says_who_it_is(wheel: Path) -> None:
    told = metadata(wheel)
    assert told["Name"] == ONE
    assert {told["Version"] + "+mesh"} == {member["project"]["version"] for member in MEMBERS.values()}
    assert told["License-Expression"] == "Apache-2.0"
    assert "Private :: Do Not Upload" not in told.get_all("Classifier", [])


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_installed_beside_strangers_it_brings_none_of_them(
    wheel: Path, tmp_path: Path, installer: str
) -> None:
    """The index is not even asked for a name of ours: whoever registers one learns and gets nothing."""
    env = tmp_path / "env"
    with fake_index(least_versions(wheel)) as index:
        said = installed(env, index, wheel, installer=installer)
    assert {name for name in said if name.startswith("nexus")} == {ONE}
    assert set(index.asked) == set(least_versions(wheel)) <= said
    assert {"nexus"} <= {path.name for path in (env / "bin").iterdir()}


def test_pip_downloads_no_name_of_ours(wheel: Path, tmp_path: Path) -> None:
    with fake_index(least_versions(wheel)) as index:
        run(
            PIP,
            "--isolated",
            "download",
            "--no-cache-dir",
            "--index-url",
            index.url,
            "--dest",
            tmp_path,
            wheel,
        )
    loaded = {re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() for path in tmp_path.glob("*.whl")}
    assert loaded == {ONE, *least_versions(wheel)}


def test_the_index_has_strangers_under_all_our_names(tmp_path: Path) -> None:
    """Or the test above would find none anywhere."""
    with fake_index({}) as index:
        assert installed(tmp_path / "env", index, *NAMES) == set(NAMES)


def test_what_is_installed_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Other people's packages are lent from this environment; ours stand in it by path files, which are not lent."""
    env = tmp_path / "env"
    run(UV, "venv", "--offline", "--python", sys.executable, env)
    run(UV, "pip", "install", "--offline", "--no-deps", "--python", env / "bin" / "python", wheel)
    lent = {"PYTHONPATH": str(next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages")}
    assert run(env / "bin" / "nexus", "--version", **lent) == f"nexus {metadata(wheel)['Version']}\n"
    modules = [
        f"nexus_{name.removeprefix('nexus-').replace('-', '_')}" for name in NAMES if name != "nexus-protos"
    ]
    files = f"import {', '.join(modules)}; print(*[m.__file__ for m in ({', '.join(modules)})], sep='\\n')"
    for file in run(env / "bin" / "python", "-c", files, **lent).splitlines():
        assert Path(file).is_relative_to(env), file


def test_installed_editable_it_runs_what_lies_in_the_checkout(tmp_path: Path) -> None:
    env = tmp_path / "env"
    run(UV, "venv", "--offline", "--python", sys.executable, env)
    # Built here, for uv demands the backend in the new environment if it is not to fetch it.
    build = "from hatchling.build import build_editable; import sys; print(build_editable(sys.argv[1]))"
    run(sys.executable, "-c", build, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(UV, "pip", "install", "--offline", "--no-deps", "--python", env / "bin" / "python", wheel)
    paths = run(env / "bin" / "python", "-I", "-c", "import sys; print(*sys.path, sep='\\n')").splitlines()
    assert {str(member / "src") for member in MEMBERS} <= set(paths)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_no_member_can_be_uploaded(member: Path) -> None:
    """The public index refuses this classifier, so that our wheels are not taken for the strangers'."""
    assert "Private :: Do Not Upload" in MEMBERS[member]["project"].get("classifiers", [])


def installed(env: Path, index: FakeIndex, *what: str | Path, installer: str = "uv") -> set[str]:
    """The names of all that is in a new environment after this was installed in it from the index."""
    python = env / "bin" / "python"
    run(UV, "venv", "--offline", "--python", sys.executable, env)
    if installer == "uv":
        run(UV, "pip", "install", "--no-cache", "--python", python, "--index-url", index.url, *what)
    else:
        run(
            PIP,
            "--python",
            python,
            "--isolated",
            "install",
            "--no-cache-dir",
            "--index-url",
            index.url,
            *what,
        )
    return set(run(python, "-I", "-c", SAYS).split())
