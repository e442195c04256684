"""What the kernel says of a container's first process: the truth behind the flags in the compose file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Facts", "facts"]

CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@dataclass(frozen=True)
class Facts:
    """`capabilities` are the names of the sets that are not empty."""

    uid: int
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    filtered: bool
    root_options: frozenset[str]

    def problems(self) -> list[str]:
        found = {
            "runs as root": self.uid == 0,
            f"has capabilities ({', '.join(self.capabilities)})": bool(self.capabilities),
            "may gain privileges": not self.no_new_privileges,
            "has no system call filter": not self.filtered,
            "can write its root file system": "ro" not in self.root_options,
        }
        return [problem for problem, is_so in found.items() if is_so]


def facts(pid: int) -> Facts:
    """Of a process of this machine. Raises OSError when it has ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    root = next(mount[5] for mount in mounts if mount[4] == "/")
    return Facts(
        uid=int(status["Uid"].split()[0]),
        capabilities=tuple(name for name in CAPABILITY_SETS if int(status[name], 16)),
        no_new_privileges=status["NoNewPrivs"].strip() == "1",
        filtered=status["Seccomp"].strip() == "2",
        root_options=frozenset(root.split(",")),
    )
