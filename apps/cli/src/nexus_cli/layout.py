"""Where everything of one home lives, and the one file that describes its mesh."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from nexus_mesh.core import private_folder, write_private

from nexus_cli.output import Failure

__all__ = ["Layout", "MeshFile"]

ETCD_BYTES = 160_000_000
"""etcd sets two files of 64 MB aside at its first start."""
LEAST_BYTES = 16_000_000
LOOKS, LOOK_SECONDS = 10, 0.02
"""At a lock that is held: whoever asks who has it, as each Tab does, holds it for that moment."""


@dataclass(slots=True)
class MeshFile:
    """A mesh as this machine knows it. `ports` are this machine's own; `control` is role -> host:port."""

    node: str
    trust_domain: str = "nexus.internal"
    ports: dict[str, int] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)
    http: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the data directory."""

    home: Path

    @property
    def operator(self) -> Path:
        return self.home / "identities" / "operator"

    @property
    def mesh_file(self) -> Path:
        return self.home / "run" / "mesh.json"

    def identity(self, role: str, name: str) -> Path:
        return self.home / "identities" / f"{role}-{name}"

    def log(self, unit: str) -> Path:
        return self.home / "logs" / f"{unit}.log"

    def token(self, unit: str) -> Path:
        return self.home / "run" / f"{unit}.token"

    def prepare(self) -> None:
        """Makes the folders, readable by the owner only; those that are there are closed to others."""
        for folder in (self.home, self.home / "run", self.home / "logs", self.home / "identities"):
            try:
                private_folder(folder)
            except OSError as error:
                raise Failure(
                    f"The data directory {folder} cannot be made or closed to others: {error.strerror}.",
                    "Choose another one with --home DIR or NEXUS_HOME.",
                ) from None

    def see_that_it_can_be_used(self) -> None:
        """Raises Failure, or OSError with the path, when a mesh could not keep its files here."""
        probe = self.home / "run" / ".probe"
        with probe.open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
        needed = ETCD_BYTES if not (self.home / "etcd" / "data").exists() else LEAST_BYTES
        free = shutil.disk_usage(self.home).free
        if free < needed:
            told = f"{free / 1e6:.0f} MB free, and a mesh needs {needed / 1e6:.0f} MB to start"
            raise Failure(
                f"The disk of {self.home} has {told}.",
                "Make room on it, or choose another data directory with --home DIR or NEXUS_HOME.",
            )

    def read(self) -> MeshFile | None:
        """What is known of the mesh; None before the first start."""
        try:
            return MeshFile(**json.loads(self.mesh_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, mesh: MeshFile) -> None:
        write_private(self.mesh_file, json.dumps(asdict(mesh), indent=1).encode())

    def holder(self) -> int | None:
        """The process that has this home; None when nobody has."""
        try:
            with (self.home / "run" / "up.lock").open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read().strip() or 0) or None
        except (OSError, ValueError):
            pass
        return None

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Holds the home for one supervisor. Raises Failure when another one has it."""
        with (self.home / "run" / "up.lock").open("a+") as file:
            if not any(_locked(file) for _ in range(LOOKS)):
                file.seek(0)
                raise Failure(
                    f"NEXUS already runs from {self.home} (process {file.read().strip() or 'unknown'}).",
                    "Look at it with `nexus status`, or start a second mesh with --home DIR and --port N.",
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(LOOK_SECONDS)
        return False
    return True
