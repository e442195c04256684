"""A real llama.cpp server in a child process, so that tests may freeze it or kill it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import processes
from support.processes import ChildProcess

CHILD = Path(__file__).with_name("llama_cpp_child.py")
DEFAULTS: dict[str, Any] = {"n_ctx": 4096, "n_parallel": 2, "endpoint_metrics": True, "ui": False}
"""Two slots of 2048 tokens each."""


@dataclass(frozen=True)
class LlamaCppServer:
    """`url` has no /v1; `model` is the path the server lists as its model id."""

    url: str
    model: Path
    child: ChildProcess

    @property
    def pid(self) -> int:
        return self.child.pid


def start_llama_cpp(model: Path, log: Path, port: int = 0, **options: Any) -> LlamaCppServer:
    """Start and wait for /health. `options` are fields of xllamacpp's CommonParams; 0 picks a free port."""
    port = port or processes.free_port()
    args = [sys.executable, CHILD, model, str(port), json.dumps(DEFAULTS | options)]
    server = LlamaCppServer(f"http://127.0.0.1:{port}", model, processes.start(args, log))
    try:
        processes.wait_http(f"{server.url}/health", server.child)
    except BaseException:
        server.child.kill()
        raise
    return server


@contextmanager
def llama_cpp(model: Path, log: Path, **options: Any) -> Iterator[LlamaCppServer]:
    """`start_llama_cpp`, killed at the end: llama.cpp has nothing to save."""
    server = start_llama_cpp(model, log, **options)
    try:
        yield server
    finally:
        server.child.kill()


@pytest.fixture(scope="session")
def llama_cpp_server(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppServer]:
    """One server for the whole session: only read from it."""
    with llama_cpp(tiny_gguf, tmp_path_factory.mktemp("llama_cpp") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def llama_cpp_embedder(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppServer]:
    """The same model started for embeddings (mean pooling)."""
    log = tmp_path_factory.mktemp("llama_cpp_embedder") / "log"
    with llama_cpp(tiny_gguf, log, embedding=True, pooling_type=1) as server:
        yield server


@pytest.fixture
def own_llama_cpp(tiny_gguf: Path, tmp_path: Path) -> Iterator[LlamaCppServer]:
    """A server of the test's own, to stop, freeze or kill."""
    with llama_cpp(tiny_gguf, tmp_path / "llama_cpp.log") as server:
        yield server
