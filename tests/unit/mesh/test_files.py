"""Modes are set by us, whatever the umask and whatever was there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nexus_mesh.core.files import create_private, private_folder, write_private

pytestmark = pytest.mark.security


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """A16"""
    folder = tmp_path / "home" / "identities" / "adapter-main"
    private_folder(folder)
    write_private(folder / "a", b"")
    create_private(folder / "b", b"")
    made = [folder.parent.parent, folder.parent, folder]
    assert {_mode(each) for each in made} == {0o700}
    assert {_mode(each) for each in folder.iterdir()} == {0o600}


def test_a_home_that_was_open_is_closed(tmp_path: Path) -> None:
    """A16"""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    private_folder(home)
    assert _mode(home) == 0o700


def test_the_users_own_home_directory_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A16: NEXUS_HOME=$HOME must not lock out what else reads there."""
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    private_folder(tmp_path)
    assert _mode(tmp_path) == 0o755


GUARDED = """
import os, resource
from nexus_mesh.core.files import guard_process
guard_process()
open("made", "w").close()
os.mkdir("folder")
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_a_guarded_process_leaves_no_core_and_no_open_files(tmp_path: Path) -> None:
    """A16: keys are in its memory."""
    ran = subprocess.run(
        [sys.executable, "-c", GUARDED], cwd=tmp_path, check=True, capture_output=True, text=True, umask=0
    )
    assert ran.stdout.strip() == "(0, 0)"
    assert (_mode(tmp_path / "made"), _mode(tmp_path / "folder")) == (0o600, 0o700)
