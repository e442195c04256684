"""A real ComfyUI, from its public source, on a CPU."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import ChildProcess, free_port, start, wait_http

START_SECONDS = 120.0
CHECKPOINT = "models/checkpoints/tiny.safetensors"


@dataclass
class ComfyUIServer:
    """`source`: its folder; `python`: an interpreter with its requirements. Its port stays when it is started again."""

    source: Path
    python: Path
    work: Path
    port: int = 0
    child: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.port = self.port or free_port()
        page = self.work / "page"
        page.mkdir(exist_ok=True)
        (page / "index.html").write_text("<html></html>")
        args = ["--cpu", "--listen", "127.0.0.1", "--port", str(self.port), "--disable-all-custom-nodes"]
        folders = ["--front-end-root", page, "--output-directory", self.work, "--temp-directory", self.work]
        program = [self.python, self.source / "main.py", *args, *folders]
        self.child = start(["nice", *program], self.work / "comfyui.log", {"HOME": str(self.work)})
        wait_http(f"{self.url}/system_stats", self.child, START_SECONDS)

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()


@contextmanager
def comfyui(source: Path, python: Path, work: Path) -> Iterator[ComfyUIServer]:
    """One that has a tiny checkpoint, made with its own code where there is none."""
    if not (source / CHECKPOINT).exists():
        program = Path(__file__).with_name("checkpoint.py")
        subprocess.run([python, program], cwd=source, check=True, stdout=subprocess.DEVNULL)
    server = ComfyUIServer(source.resolve(), python.absolute(), work)
    server.start()
    try:
        yield server
    finally:
        assert server.child is not None
        server.child.stop()
