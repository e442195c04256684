"""A full disk is told in words, loses nothing that was acknowledged, and is not filled with what was refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nexus_mesh.core import Reason

CHILD = Path(__file__).with_name("disk_child.py")
TESTS = Path(__file__).parents[2]
MOUNTED = 'mount -t tmpfs -o size=9m none "$0" && exec "$@"'
"""In a mount namespace of its own: nobody else sees that small disk."""


def check(command: list[str]) -> None:
    ran = subprocess.run(
        command, env={"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["reasons"] == [Reason.STORE_UNAVAILABLE]
    assert any("disk is full" in message for message in found["messages"]), found
    assert all("make room" in message for message in found["messages"])
    assert found["lost_while_full"] == [], "what was acknowledged can be read meanwhile"
    assert found["lost"] == []
    assert found["kept"] > 5
    assert found["objects"] >= found["kept"]
    assert found["contents_while_full"] <= found["kept"] + 1, "what was refused takes no room"
    assert found["contents"] == found["objects"] - 1, "the first was put twice"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    probe = [unshare or "unshare", "-rm", "sh", "-c", MOUNTED, str(tmp_path)]
    if unshare is None or subprocess.run([*probe, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk of his own")
    check([*probe, sys.executable, str(CHILD), str(tmp_path), "ballast"])


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    check([sys.executable, str(CHILD), str(tmp_path), "limit"])
