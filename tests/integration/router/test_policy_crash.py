"""kill -9 of the router in the midst of changes: what was acknowledged is in force after the restart."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_mesh.core.errors import MeshError
from nexus_mesh.identity import tls
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.rpc.client import Peer
from support.ca import MeshCA
from support.policy_client import PolicyClient, aliases
from support.processes import ChildProcess, free_port, start
from support.waiting import eventually


class RouterProcess:
    """One home, one port, one process at a time, and an operator who writes to it without pause."""

    def __init__(self, home: Path, ca: MeshCA) -> None:
        self.home = home
        self.acknowledged: tuple[int, str] = (0, "")
        self.asked: list[str] = []
        self._port = free_port()
        self._ca = ca
        self._child: ChildProcess | None = None
        tls.store(home / "identities" / "router-main", ca.material(ca.spiffe("router")))

    async def start(self) -> ChildProcess:
        nowhere = f"127.0.0.1:{free_port()}"
        told = {"home": str(self.home), "node": "n1", "port": str(self._port)}
        told |= {"registry": nowhere, "vault": nowhere}
        arguments = [word for name, value in told.items() for word in (f"--{name}", value)]
        run = self.home / "run" / "router-main.json"
        run.unlink(missing_ok=True)
        child = start([sys.executable, "-m", "nexus_router", *arguments], self.home / "log")
        self._child = child
        await eventually(lambda: run.exists() or not child.alive, 60, "the start")
        assert child.alive, child.output()
        return child

    def peer(self) -> Peer:
        name = role_server_name("router", "nexus.internal")
        return Peer(f"127.0.0.1:{self._port}", name, self._ca.identity("operator"))

    async def write(self) -> None:
        """Until the router is gone."""
        peer = self.peer()
        try:
            policies = PolicyClient(peer)
            while True:
                model = f"m{len(self.asked)}"
                self.asked.append(model)
                policy = await policies.set(aliases(a=model))
                self.acknowledged = policy.revision.number, model
        except MeshError as error:
            if not error.metadata.get("transport"):
                raise
        finally:
            await peer.close()

    async def write_and_kill(self, changes: int) -> None:
        """Kills the router once that many more changes were acknowledged."""
        child, enough = await self.start(), self.acknowledged[0] + changes
        writing = asyncio.create_task(self.write())
        await eventually(lambda: self.acknowledged[0] >= enough or writing.done(), 60, "the changes")
        child.kill()
        await writing

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


@pytest_asyncio.fixture
async def router(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[RouterProcess]:
    process = RouterProcess(tmp_path, mesh_ca)
    try:
        yield process
    finally:
        process.stop()


async def _in_force(router: RouterProcess) -> tuple[int, str]:
    peer = router.peer()
    try:
        got = await PolicyClient(peer).get()
    finally:
        await peer.close()
    assert got.problem == ""
    return got.revision_in_force, json.loads(got.policy.json).get("aliases", {}).get("a", "")


async def test_what_was_acknowledged_is_in_force_after_kill_9(router: RouterProcess) -> None:
    for changes in (1, 7, 40, 41, 43):
        await router.write_and_kill(changes)
        await router.start()
        number, model = await _in_force(router)
        if number == router.acknowledged[0]:
            assert model == router.acknowledged[1]
        else:  # stored, and killed before it could say so
            assert (number, model) == (router.acknowledged[0] + 1, router.asked[-1])
        router.acknowledged = number, model
        router.stop()


@pytest.mark.parametrize("left", ["a part", "half a revision"])
async def test_what_a_killed_writer_left_does_no_harm(router: RouterProcess, left: str) -> None:
    folder = router.home / "router" / "policy"
    await router.start()
    peer = router.peer()
    await PolicyClient(peer).set(aliases(a="good"))
    await peer.close()
    router.stop()
    half = (folder / "1.json").read_bytes()[:-40]
    name = ".2.json.abcdefgh.part" if left == "a part" else "2.json"
    (folder / name).write_bytes(half)
    await router.start()
    peer = router.peer()
    policies = PolicyClient(peer)
    got = await policies.get()
    assert (got.revision_in_force, await policies.aliases()) == (1, {"a": "good"})
    assert ("2.json cannot be used" in got.problem) == (left != "a part")
    assert (await policies.set(aliases(a="next"))).revision.number == (2 if left == "a part" else 3)
    await peer.close()
    assert not list(folder.glob(".*"))
