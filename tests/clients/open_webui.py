"""Open WebUI's own server, started with the variables of compose.yaml, asked for what its page asks for."""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from support.examples import CHAT, EMBEDDER, Served
from support.processes import free_port, start, wait_http

__all__ = ["check"]

START_SECONDS = 300.0
SENTENCE = "The caretaker of the observatory is called Ines."


async def check(served: Served, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="nexus-open-webui-") as folder:
        home, port = Path(folder), free_port()
        variables = _variables(place / "compose.yaml", served) | {
            "HOME": folder,
            "DATA_DIR": f"{folder}/data",
        }
        command = ("venv/bin/open-webui", "serve", "--host", "127.0.0.1", "--port", str(port))
        server = start([place / command[0], *command[1:]], home / "log", variables)
        try:
            url = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(wait_http, f"{url}/health", server, START_SECONDS)
            await _use(url, served)
        except (aiohttp.ClientError, AssertionError) as error:
            raise AssertionError(f"{error}\n{server.output()[-3000:]}") from error
        finally:
            server.stop()
        assert "api.openai.com" not in server.output(), "something was meant for somebody else"


def _variables(compose: Path, served: Served) -> dict[str, str]:
    """The container's, with what compose would take from .env."""
    env = {
        "NEXUS_URL": served.mesh.base_url,
        "NEXUS_KEY": served.key,
        "NEXUS_EMBEDDING_MODEL": EMBEDDER,
        "WEBUI_SECRET_KEY": secrets.token_hex(32),
    }
    (service,) = yaml.safe_load(compose.read_text())["services"].values()
    return {name: _filled(str(value), env) for name, value in service["environment"].items()}


def _filled(value: str, env: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", lambda found: env[found[1]], value)


async def _use(url: str, served: Served) -> None:
    account = {"name": "Ines", "email": "ines@example.org", "password": secrets.token_urlsafe(24) + "aA1!"}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/v1/auths/signup", json=account) as answer:
            token = (await answer.json())["token"]
        session.headers["Authorization"] = f"Bearer {token}"
        async with session.get(f"{url}/api/models") as answer:
            listed = {row["id"] for row in (await answer.json())["data"]}
        assert listed >= {CHAT, EMBEDDER}, listed
        whole = await _chat(session, url, "Name one moon of Saturn.")
        assert '"content":"Titan."' in whole, whole
        streamed = await _chat(session, url, "Count from one to five.", stream=True)
        assert streamed.count("chat.completion.chunk") > 4, streamed
        file = await _upload(session, url)
        files = [{"type": "file", "id": file}]
        with_sources = await _chat(session, url, "Who is the caretaker?", files=files)
        assert SENTENCE in with_sources, with_sources
    assert any(SENTENCE in str(call.body.get("input")) for call in served.fake.calls), "embedded elsewhere"


async def _chat(session: aiohttp.ClientSession, url: str, prompt: str, **more: Any) -> str:
    body = {"model": CHAT, "messages": [{"role": "user", "content": prompt}], **more}
    async with session.post(f"{url}/api/chat/completions", json=body) as answer:
        text = await answer.text()
    assert answer.status == 200, text
    return text


async def _upload(session: aiohttp.ClientSession, url: str) -> str:
    form = aiohttp.FormData()
    form.add_field("file", SENTENCE.encode(), filename="people.txt", content_type="text/plain")
    wanted = {"process": "true", "process_in_background": "false"}
    async with session.post(f"{url}/api/v1/files/", params=wanted, data=form) as answer:
        made = await answer.json()
    assert answer.status == 200, made
    return made["id"]
