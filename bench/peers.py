"""The peers: LiteLLM's proxy and Portkey's gateway, installed into bench/.cache, never into our environment."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from bench import answers
from bench.backends import Backend
from bench.client import Endpoint
from bench.processes import Unusable, environment, free_port, running, until_open
from bench.subjects import Subject

__all__ = ["CACHE", "PEERS", "install"]

CACHE = Path(__file__).parent / ".cache"
INSTALL_SECONDS = 600
LITELLM_PACKAGE = "litellm[proxy]"
PORTKEY_PACKAGE = "@portkey-ai/gateway"


async def install(what: str, *commands: Sequence[str | Path]) -> None:
    """Runs the commands one after the other in the cache. Raises Unusable with the log's end."""
    CACHE.mkdir(exist_ok=True)
    log = CACHE / f"{what}-install.log"
    print(f"  installing {what} into {CACHE} (once)", flush=True)
    for command in commands:
        if await asyncio.to_thread(_run, command, log):
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise Unusable(f"{what} could not be installed:\n{tail}")


def _run(command: Sequence[str | Path], log: Path) -> int:
    """The exit code; -1 when it took too long. In a thread: the loop's own watch once missed that npm had ended."""
    with log.open("ab") as output:
        try:
            return subprocess.run(
                [str(part) for part in command],
                cwd=CACHE, timeout=INSTALL_SECONDS, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            return -1


@asynccontextmanager
async def litellm(backend: Backend, folder: Path) -> AsyncIterator[Subject]:
    """LiteLLM's proxy with one worker and a master key, as its own documentation starts it."""
    python = CACHE / "litellm" / "bin" / "python"
    if not (CACHE / "litellm" / "bin" / "litellm").exists():
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LITELLM_PACKAGE]
        await install("litellm", [sys.executable, "-m", "venv", "litellm"], pip)
    port, key, log = free_port(), f"sk-{secrets.token_hex(16)}", folder / "litellm.log"
    config = folder / "litellm.yaml"
    config.write_text(_litellm_config(backend, key))
    config.chmod(0o600)
    command = [CACHE / "litellm" / "bin" / "litellm", "--config", config, "--host", "127.0.0.1"]
    quiet = environment(LITELLM_LOG="ERROR", LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_MODE="PRODUCTION")
    async with running([*command, "--port", str(port)], log, quiet) as process:
        await until_open(port, process, log)
        endpoint = Endpoint("127.0.0.1", port, headers=(("Authorization", f"Bearer {key}"),))
        pids = {"litellm": (process.pid,)}
        yield Subject("LiteLLM", endpoint, endpoint, pids, _litellm_version())


def _litellm_config(backend: Backend, key: str) -> str:
    """JSON is YAML."""
    ports = {answers.CHAT_MODEL: backend.chat_port, answers.STREAM_MODEL: backend.stream_port}
    rows = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
            },
        }
        for model, port in ports.items()
    ]
    settings = {"telemetry": False, "num_retries": 0, "request_timeout": 60}
    return json.dumps(
        {"model_list": rows, "litellm_settings": settings, "general_settings": {"master_key": key}}
    )


def _litellm_version() -> str:
    found = next((CACHE / "litellm" / "lib").glob("python3*/site-packages/litellm-*.dist-info"), None)
    return found.name.removeprefix("litellm-").removesuffix(".dist-info") if found else ""


@asynccontextmanager
async def portkey(backend: Backend, folder: Path) -> AsyncIterator[Subject]:
    """Portkey's gateway. It knows no keys of its own: the provider's key passes through."""
    node = shutil.which("node")
    if node is None:
        raise Unusable("Portkey needs node: install Node.js 20 or newer with npm, or pass --skip-peers.")
    package = CACHE / "portkey" / "node_modules" / PORTKEY_PACKAGE
    if not (package / "build" / "start-server.js").exists():
        await _install_portkey()
    port, log = free_port(), folder / "portkey.log"
    command = [
        node,
        "--require",
        Path(__file__).with_name("loopback.cjs"),
        package / "build" / "start-server.js",
    ]
    env = environment(NODE_ENV="production")
    async with running([*command, f"--port={port}", "--headless"], log, env) as process:
        await until_open(port, process, log)
        version = str(json.loads((package / "package.json").read_text())["version"])
        chat, stream = (
            _portkey_endpoint(port, target) for target in (backend.chat_port, backend.stream_port)
        )
        yield Subject("Portkey", chat, stream, {"portkey": (process.pid,)}, version)


async def _install_portkey() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unusable("Portkey needs npm: install Node.js 20 or newer with npm, or pass --skip-peers.")
    await install(
        "portkey", [npm, "install", "--prefix", "portkey", "--no-fund", "--no-audit", PORTKEY_PACKAGE]
    )


def _portkey_endpoint(port: int, target: int) -> Endpoint:
    headers = (
        ("Authorization", "Bearer none"),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", f"http://127.0.0.1:{target}/v1"),
    )
    return Endpoint("127.0.0.1", port, headers=headers)


PEERS: dict[str, Callable[[Backend, Path], AbstractAsyncContextManager[Subject]]] = {
    "LiteLLM": litellm,
    "Portkey": portkey,
}
