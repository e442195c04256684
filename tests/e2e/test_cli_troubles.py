"""What a machine can do to a mesh: disks that are full or can't be written to, damaged files, a vault that is mute."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from support.e2e_cli import NEXUS, Ran, Running, environment, nexus, running
from support.waiting import eventually

UP = ("up", "--port", "0", "--no-discovery")
RAW = ("Traceback", "goroutine", "panic", "Errno", ".go:")


async def ran(home: Path, *command: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


def assert_a_sentence(refused: Ran, *words: str) -> None:
    refused.assert_refused(*words)
    assert not [raw for raw in RAW if raw in refused.out + refused.err], refused.out + refused.err


DISKS = {
    "can only be read": ("ro", ("read-only", "--home")),
    "has 1 MB": ("size=1m", ("1 MB free", "make room", "--home")),
    "is full": ("size=16k", ("0 MB free", "make room", "--home")),
}


@pytest.mark.parametrize("disk", DISKS)
async def test_a_home_on_a_bad_disk_is_told_of_in_a_sentence(tmp_path: Path, disk: str) -> None:
    """E20"""
    option, words = DISKS[disk]
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    home = tmp_path / "home"
    home.mkdir()
    mounted = f'mount -t tmpfs -o {option} none "$0" && exec "$@"'
    command = (str(NEXUS), *UP, "--home", str(home))
    assert_a_sentence(
        await ran(tmp_path, "unshare", "--mount", "sh", "-c", mounted, str(home), *command), *words
    )


async def test_damaged_files_are_told_of_with_the_way_out(tmp_path: Path) -> None:
    """E20: each store of a mesh that has run before; the mesh that only lacks its vault serves, and says why."""
    async with running(tmp_path, *UP, "--home", str(tmp_path)) as mesh:
        assert await mesh.stop() == 0
    spoil(tmp_path / "etcd/data/member/snap/db")
    assert_a_sentence(await nexus(tmp_path, *UP), "etcd does not start", "damaged", "etcd/data", "etcd.log")
    for gone in ("etcd/data", "identities"):  # the second has the vault needed, as at a first start
        shutil.rmtree(tmp_path / gone)
    spoil(tmp_path / "vault/vault.db")
    assert_a_sentence(await nexus(tmp_path, *UP), "vault does not start", "vault.db", "backup", "vault.log")


def spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage" * 1000)


MUTE = """
import sys
from nexus_cli import bootstrap, main
from nexus_cli.plan import Plan
from nexus_cli.unit import UnitSpec
def vault(plan):
    return UnitSpec("vault", [sys.executable, "-c", "import time; time.sleep(3600)"], plan.layout.log("vault"))
Plan.vault = vault
bootstrap.START_SECONDS = float(sys.argv.pop(1))
main.main()
"""


async def mute_vault(home: Path, seconds: float, *arguments: str) -> asyncio.subprocess.Process:
    """`nexus up` whose vault runs and never says a word."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MUTE, str(seconds), *UP, "--home", str(home), *arguments,
        env=environment(home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_a_first_start_that_waits(tmp_path: Path, number: signal.Signals) -> None:
    """E6: also while there is nothing but a vault that does not answer."""
    process = await mute_vault(tmp_path, 600.0)
    started = Running(process, {}, [])
    await eventually((tmp_path / "logs" / "vault.log").exists, timeout=30)
    assert await started.stop(number) == 0
    await started.assert_gone()
    assert process.stdout is not None
    assert b"Stopping" in await process.stdout.read()


async def test_the_deadline_of_a_start_is_meant(tmp_path: Path) -> None:
    """E6: not so many tries that each take their time."""
    process = await mute_vault(tmp_path, 1.0)
    out, err = await process.communicate()
    assert_a_sentence(
        Ran(process.returncode or 0, out.decode(), err.decode()), "did not answer within 1 s", "vault.log"
    )


async def test_without_a_terminal_a_line_tells_what_is_waited_for(tmp_path: Path) -> None:
    """E6"""
    process = await mute_vault(tmp_path, 600.0)
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert line.startswith(b"Starting: vault running"), line


def test_the_environment_of_these_tests_hides_no_width() -> None:
    """E14"""
    assert "COLUMNS" not in environment(Path(os.curdir))
