"""What a mesh leaves on the disk is for its user alone, however careless the user's shell is."""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import pytest
from support.e2e_cli import running

CARELESS = ("sh", "-c", 'umask 000; exec "$@"', "sh")

pytestmark = pytest.mark.security


@pytest.mark.skipif(
    not hasattr(psutil, "RLIMIT_CORE"), reason="limits of other processes are told by Linux only"
)
async def test_a_home_is_closed_and_no_process_leaves_a_core(tmp_path: Path) -> None:
    """A16: umask 000, and a home that was there with 0755."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    up = ("up", "--home", str(home), "--port", "0", "--no-discovery")
    async with running(tmp_path, *up, via=CARELESS) as mesh:
        assert mesh.said["state"] == "ready"
        open_to_others = [
            (str(path.relative_to(tmp_path)), oct(path.lstat().st_mode))
            for path in [home, *home.rglob("*")]
            if stat.S_IMODE(path.lstat().st_mode) & 0o077 and not path.is_symlink()
        ]
        assert open_to_others == []
        processes = [one for one in mesh.family if one.is_running()]
        assert len(processes) >= 6
        assert {one.rlimit(psutil.RLIMIT_CORE) for one in processes} == {(0, 0)}
