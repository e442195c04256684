"""The bare backend: nginx for whole answers where it is installed, our own paced server for streams."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import answers
from bench.processes import Unusable, free_port, running, until_open

__all__ = ["CHUNKS_PER_SECOND", "KINDS", "Backend", "engine", "open_backend"]

KINDS = ("nginx", "python")
CHUNKS_PER_SECOND = 50
WHOLE = 0.0
"""The rate of an engine that answers whole, whatever it is asked for."""
ROOT = Path(__file__).parent.parent
NGINX_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Backend:
    """Two loopback ports: one answers whole, one streams. `pids` are what it runs as."""

    chat_port: int
    stream_port: int
    pids: tuple[int, ...]


@asynccontextmanager
async def open_backend(kind: str, folder: Path) -> AsyncIterator[Backend]:
    """A running backend. Raises Unusable when nginx is wanted and missing."""
    async with AsyncExitStack() as stack:
        stream_port, stream_pid = await stack.enter_async_context(engine(folder / "engine.log"))
        whole = _nginx(folder) if kind == "nginx" else engine(folder / "whole.log", rate=WHOLE)
        chat_port, chat_pid = await stack.enter_async_context(whole)
        yield Backend(chat_port, stream_port, (chat_pid, stream_pid))


@asynccontextmanager
async def engine(
    log: Path, *models: str, port: int | None = None, rate: float = CHUNKS_PER_SECOND
) -> AsyncIterator[tuple[int, int]]:
    """Our own server, with these models or the two of the bench: its port and pid."""
    port = port or free_port()
    listed = models or (answers.CHAT_MODEL, answers.STREAM_MODEL)
    command = [sys.executable, "-m", "bench.engine", str(port), str(rate), *listed]
    async with running(command, log, cwd=ROOT) as process:
        await until_open(port, process, log)
        yield port, process.pid


@asynccontextmanager
async def _nginx(folder: Path) -> AsyncIterator[tuple[int, int]]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Unusable("nginx is not installed: `apt-get install nginx-light`, or choose --backend python.")
    port, log, config = free_port(), folder / "nginx.log", folder / "nginx.conf"
    config.write_text(_nginx_config(folder, port))
    async with running([program, "-p", folder, "-c", config, "-e", "stderr"], log) as process:
        await until_open(port, process, log)
        yield port, process.pid


def _nginx_config(folder: Path, port: int) -> str:
    temporary = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in NGINX_PATHS)
    return f"""\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 8192; }}
http {{
{temporary}    access_log off; default_type application/json; keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /v1/chat/completions {{ return 200 '{answers.canned().decode()}'; }}
        location = /v1/models {{ return 200 '{answers.models(answers.CHAT_MODEL).decode()}'; }}
        location / {{ return 404; }}
    }}
}}
"""
