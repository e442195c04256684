"""What the check needs of the machine, and how to get it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["missing"]

PROGRAMS = ("podman", "debootstrap", "conmon", "iptables")
RUNTIMES = ("crun", "runc")
NETWORK_HELPERS = ("netavark", "aardvark-dns")
HELPER_FOLDERS = (Path("/usr/lib/podman"), Path("/usr/libexec/podman"), Path("/usr/local/libexec/podman"))


def missing() -> list[str]:
    """A sentence for each thing that is not there."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if not any(shutil.which(name) for name in RUNTIMES):
        lacking.append("runc")
    lacking += [
        name for name in NETWORK_HELPERS if not any((folder / name).exists() for folder in HELPER_FOLDERS)
    ]
    found = []
    if lacking:
        found.append(f"missing: {', '.join(lacking)}. On Debian: apt-get install {' '.join(lacking)}")
    if os.geteuid() != 0:
        found.append("this needs root, for debootstrap and for the containers' network")
    return found
