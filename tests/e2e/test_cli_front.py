"""What people do with a mesh that runs: talk to it, complete names, read logs; and start, stop, restart one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_cli.completing import SCRIPTS
from nexus_cli.layout import Layout
from support.e2e_cli import NEXUS, command, environment, nexus
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("fake-model", "org/other:7b") as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    config = backend("box", fake.url)
    async with serving(tmp_path_factory.mktemp("front"), config, "fake-model", "org/other:7b") as mesh:
        yield mesh


@pytest.fixture
def home(mesh: LiveMesh) -> Path:
    return mesh.layout.home


async def test_one_question_gets_its_answer_alone_on_stdout(home: Path) -> None:
    ran = await nexus(home, "chat", "What is a mesh?")
    assert ran.code == 0, ran
    assert ran.out.strip()
    assert ran.err == ""
    named = await nexus(home, "run", "fake-model", "What", "is a mesh?")
    assert (named.code, named.out) == (0, ran.out)


async def test_standard_input_is_added_to_the_prompt(home: Path) -> None:
    piped = await nexus(home, "chat", "-m", "fake-model", "Review this", given="a b c\n")
    assert piped.code == 0
    told = await nexus(home, "chat", "--json", "-m", "fake-model", "Review this", given="a b c\n")
    assert told.json["choices"][0]["message"]["content"] == piped.out.removesuffix("\n")


async def test_who_answered_is_told_beside_the_answer(home: Path) -> None:
    ran = await nexus(home, "chat", "-v", "-m", "fake-model", "What is a mesh?")
    assert "fake-model at box" in ran.err
    assert "box" not in ran.out


async def test_a_model_that_is_none_gets_the_one_meant(home: Path) -> None:
    (await nexus(home, "chat", "fake-modle", "hello there")).assert_refused(
        "No backend offers 'fake-modle'.", "Did you mean 'fake-model'?"
    )


async def test_nothing_to_ask_is_told(home: Path) -> None:
    (await nexus(home, "chat")).assert_refused("nothing to ask")


async def offers(home: Path, *words: str) -> list[str]:
    """What Tab offers in place of the last word."""
    ran = await command(home, "__complete", *words, environment={"NEXUS_HOME": str(home)})
    assert (ran.code, ran.err) == (0, "")
    return ran.out.split()


async def test_names_are_completed_as_the_mesh_has_them(home: Path) -> None:
    assert (await nexus(home, "keys", "create", "laptop")).code == 0
    for line, found in (
        (["load", "fa"], ["fake-model"]),
        (["load", "--backend", "b"], ["box"]),
        (["keys", "revoke", "la"], ["laptop"]),
        (["chat", "org/"], ["org/other:7b"]),
        (["logs", "gate"], ["gateway"]),
    ):
        await eventually(partial(_are_offered, home, line, found), timeout=30, what=f"{line} is {found}")
    assert (await nexus(home, "keys", "revoke", "laptop")).code == 0
    await eventually(partial(_are_offered, home, ["keys", "revoke", "la"], []), timeout=30, what="no laptop")


async def test_a_model_that_comes_is_completed_and_one_that_goes_is_not(fake: FakeOpenAI, home: Path) -> None:
    fake.models.append("late-model")
    await eventually(partial(_are_offered, home, ["load", "late"], ["late-model"]), timeout=60, what="it")
    fake.models.remove("late-model")
    await eventually(partial(_are_offered, home, ["load", "late"], []), timeout=60, what="it is gone")


async def _are_offered(home: Path, words: list[str], found: list[str]) -> bool:
    return await offers(home, *words) == found


async def test_bash_completes_a_name_with_a_colon(home: Path) -> None:
    line = "nexus load org/other:"
    script = f"""{SCRIPTS["bash"]}
COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDBREAKS=$' \\t\\n:'
_nexus; printf '%s\\n' "${{COMPREPLY[@]}}" """
    given = environment(home) | {"NEXUS_HOME": str(home), "PATH": f"{NEXUS.parent}{os.pathsep}{os.defpath}"}
    bash = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", script, env=given, stdout=asyncio.subprocess.PIPE
    )
    assert (await bash.communicate())[0] == b"7b\n"


async def test_what_the_backends_do(home: Path) -> None:
    (row,) = (await nexus(home, "top", "--once", "--json")).json
    assert (row["backend"], row["state"], row["running"], row["waiting"]) == ("box", "active", 0, 0)
    assert "box" in (await nexus(home, "top", "--once")).out


async def test_status_is_watched_until_it_is_stopped(home: Path) -> None:
    arguments = [str(NEXUS), "status", "--watch", "--home", str(home)]
    watching = await asyncio.create_subprocess_exec(
        *arguments, env=environment(home), stdout=asyncio.subprocess.PIPE
    )
    assert watching.stdout is not None
    seen = 0
    while seen < 2:  # it comes again by itself
        line = await watching.stdout.readline()
        assert line, "it ended"
        seen += line.startswith(b"Endpoint")
    watching.send_signal(signal.SIGINT)
    await watching.communicate()
    assert watching.returncode == 130


async def test_logs_of_a_service(home: Path) -> None:
    ran = await nexus(home, "logs", "gateway")
    assert ran.code == 0
    assert "gateway" in ran.out
    (await nexus(home, "logs", "gatway")).assert_refused("Did you mean 'gateway'?")


async def test_a_mesh_in_the_background_is_started_restarted_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    started = await nexus(home, "up", "--detach", "--port", "0", "--no-discovery", "--json")
    try:
        assert started.code == 0, started
        assert started.json["state"] == "ready"
        assert Layout(home).holder() == started.json["process"]
        (await nexus(home, "up", "--detach", "--port", "0")).assert_refused("already runs", "nexus stop")
        again = await nexus(home, "restart", "--json")
        assert again.code == 0, again
        assert again.json["process"] != started.json["process"]
        assert Layout(home).holder() == again.json["process"]
        assert "--no-discovery" in json.loads((home / "run" / "started.json").read_text())["arguments"]
    finally:
        stopped = await nexus(home, "stop", "--json")
    assert stopped.json["state"] == "stopped"
    assert Layout(home).holder() is None
    (await nexus(home, "stop")).assert_refused("No mesh runs")


async def test_a_restart_loses_no_variable_unless_told_to(tmp_path: Path, fake: FakeOpenAI) -> None:
    (tmp_path / "nexus.toml").write_text(backend("box", fake.url, api_key_env="BOX_KEY"))
    given = {"BOX_KEY": "secret-of-the-box", "NEXUS_GATEWAY_AUTH": "keys"}
    started = await nexus(
        tmp_path, "up", "--detach", "--port", "0", "--no-discovery", "--json", environment=given
    )
    try:
        assert started.code == 0, started
        remembered = (tmp_path / "run" / "started.json").read_text()
        assert "BOX_KEY" in remembered
        assert "secret-of-the-box" not in remembered
        refused = await nexus(tmp_path, "restart", environment={"NEXUS_GATEWAY_AUTH": "keys"})
        refused.assert_refused("BOX_KEY", "--force")
        assert "NEXUS_GATEWAY_AUTH" not in refused.err, "that one is there"
        (await nexus(tmp_path, "restart")).assert_refused("BOX_KEY, NEXUS_GATEWAY_AUTH")
        assert Layout(tmp_path).holder() == started.json["process"], "nothing was stopped"
        again = await nexus(tmp_path, "restart", "--json", environment=given)
        assert again.code == 0, again
        without = await nexus(tmp_path, "restart", "--force", "--json")
        assert without.code == 0, without
        assert without.json["process"] != again.json["process"]
    finally:
        await nexus(tmp_path, "stop")


async def test_a_start_in_the_background_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text("[queue]\nwiat = 3\n")
    ran = await nexus(tmp_path, "up", "--detach", "--port", "0")
    ran.assert_refused("did you mean 'wait'?")
    assert ran.code == 2
