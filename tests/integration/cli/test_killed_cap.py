"""E9: a cap of a log that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_cap_that_is_killed_loses_no_line(tmp_path: Path) -> None:
    """kill -9 at whatever call to the system: every line is in one of the files."""
    lines = "".join(f"line {number}\n" for number in range(200))
    cut = (
        "import os, sys, pathlib\n"
        "from nexus_cli import logs\n"
        "calls = [0]\n"
        "def counted(event, _):\n"
        "    if event in ('os.rename', 'open', 'os.truncate', 'os.remove'):\n"
        "        calls[0] += 1\n"
        "        if calls[0] == int(sys.argv[2]): os._exit(9)\n"
        "sys.addaudithook(counted)\n"
        "logs.cap(pathlib.Path(sys.argv[1]), 1000)\n"
    )
    codes = set()
    for call in range(1, 16):
        log = tmp_path / str(call) / "adapter.log"
        log.parent.mkdir()
        log.write_text(lines)
        codes.add(subprocess.run([sys.executable, "-c", cut, str(log), str(call)], check=False).returncode)
        found = log.read_text() or log.with_name("adapter.log.1").read_text()
        assert found.splitlines()[-50:] == lines.splitlines()[-50:]
    assert codes == {0, 9}
