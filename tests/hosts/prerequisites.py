"""What the two hosts need of the machine, and how to get it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

__all__ = ["missing"]


def missing() -> list[str]:
    """A sentence for each thing that is not there."""
    found = []
    if sys.platform != "linux":
        return ["this needs Linux, for its network namespaces"]
    if shutil.which("ip") is None:
        found.append("missing: ip. On Debian: apt-get install iproute2")
    if os.geteuid() != 0:
        found.append("this needs root, for network namespaces and the link between them")
    return found or _refused_by_the_kernel()


def _refused_by_the_kernel() -> list[str]:
    """Containers are often root and may still make no namespace."""
    name = f"nexus-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)  # noqa: S607
    if tried.returncode == 0:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)  # noqa: S607
        return []
    return [f"network namespaces cannot be made here: {tried.stderr.strip()}"]
