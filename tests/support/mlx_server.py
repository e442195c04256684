"""The real `mlx_lm.server` in a child process, kept off the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import processes
from support.processes import ChildProcess


@dataclass(frozen=True)
class MlxServer:
    """`url` has no /v1; `model` is the folder, which the server lists as its model id."""

    url: str
    model: Path
    child: ChildProcess

    @property
    def pid(self) -> int:
        return self.child.pid


def start_mlx_server(model: Path, home: Path, port: int = 0, *options: str) -> MlxServer:
    """Start and wait for /health; log and caches go into `home`, `options` to the command line."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "hub").mkdir(exist_ok=True)
    port = port or processes.free_port()
    args = [sys.executable, "-m", "mlx_lm", "server", "--model", model, "--port", str(port), *options]
    child = processes.start(args, home / "log", offline_environment(home))
    server = MlxServer(f"http://127.0.0.1:{port}", model, child)
    try:
        processes.wait_http(f"{server.url}/health", child, timeout=90.0)
    except BaseException:
        child.kill()
        raise
    return server


def offline_environment(home: Path) -> dict[str, str]:
    """Without these an unknown model name makes the server reach for the Hugging Face Hub."""
    return {
        "HOME": str(home),
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def mlx_server(model: Path, home: Path, *options: str) -> Iterator[MlxServer]:
    server = start_mlx_server(model, home, 0, *options)
    try:
        yield server
    finally:
        server.child.kill()


@pytest.fixture(scope="session")
def mlx_lm_server(tiny_mlx: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlxServer]:
    """One server for the whole session: only read from it."""
    with mlx_server(tiny_mlx, tmp_path_factory.mktemp("mlx_server")) as server:
        yield server


@pytest.fixture
def own_mlx_lm_server(tiny_mlx: Path, tmp_path: Path) -> Iterator[MlxServer]:
    """A server of the test's own, to stop, freeze or kill."""
    with mlx_server(tiny_mlx, tmp_path / "mlx_server") as server:
        yield server
