"""The registry as a process: killed, or stopped in order, and started again, services and watchers heal unseen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_mesh.identity import tls
from support.ca import MeshCA
from support.control_plane import Member, Watcher
from support.etcd import EtcdCluster
from support.processes import ChildProcess, free_port, start
from support.waiting import eventually

# A Python process may take long to start on a busy machine.
START_SECONDS = 60


class RegistryProcess:
    """`python -m nexus_registry` with an identity of its own, on a port that stays the same."""

    def __init__(self, home: Path, ca: MeshCA, etcd: EtcdCluster) -> None:
        tls.store(home / "identities" / "registry-main", ca.material(ca.spiffe("registry")))
        self.address = f"127.0.0.1:{free_port()}"
        self._home = home
        self._etcd = ",".join(etcd.endpoints)
        self._child: ChildProcess | None = None

    def start(self) -> None:
        options = {
            "home": self._home,
            "port": self.address.rpartition(":")[2],
            "registry": self.address,
            "vault": "127.0.0.1:1",
            "etcd-endpoints": self._etcd,
            "lease-ttl": 60,
            "keep-alive-interval": 0.5,
            "drain-settle": 0,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._child = start([sys.executable, "-m", "nexus_registry", *arguments], self._home / "registry.log")

    async def kill(self) -> None:
        """`kill -9`."""
        assert self._child is not None
        await asyncio.to_thread(self._child.kill)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._child is not None
        return await asyncio.to_thread(self._child.stop)

    def close(self) -> None:
        if self._child is not None and self._child.alive:
            self._child.kill()


@pytest.fixture
def process(tmp_path: Path, mesh_ca: MeshCA, mesh_etcd: EtcdCluster) -> Iterator[RegistryProcess]:
    process = RegistryProcess(tmp_path, mesh_ca, mesh_etcd)
    process.start()
    yield process
    process.close()


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_restart_is_hardly_seen(
    process: RegistryProcess, tmp_path: Path, mesh_ca: MeshCA, end: str
) -> None:
    watcher = Watcher(mesh_ca, tmp_path, process.address)
    member = Member(mesh_ca, tmp_path, process.address)
    await eventually(lambda: watcher.connected(member.id), timeout=START_SECONDS)
    epoch, told = watcher.told[-1].epoch, len(watcher.told)
    if end == "kill":
        await process.kill()
    else:
        assert await process.stop() == 0
    process.start()
    await eventually(lambda: watcher.told[-1].epoch != epoch, timeout=START_SECONDS)
    member.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: _state(watcher, member) == instance_pb2.STATE_DRAINING, timeout=START_SECONDS)
    later = [message for message in watcher.told[told:] if message.put.id == member.id]
    assert all(message.put.connected for message in later)
    assert member.id not in [message.delete for message in watcher.told]
    assert "REVISION_EXPIRED" in [error.reason for error in watcher.errors]
    await asyncio.gather(member.crash(), watcher.close())


def _state(watcher: Watcher, member: Member) -> int | None:
    """What the watcher was told of the member; None while a restarted registry has not heard of it."""
    row = watcher.rows.get(member.id)
    return None if row is None else row.status.state


async def test_it_registers_itself_and_leaves_when_told_to(
    process: RegistryProcess, tmp_path: Path, mesh_ca: MeshCA
) -> None:
    watcher = Watcher(mesh_ca, tmp_path, process.address)
    await eventually(lambda: watcher.connected("n1/registry/main"), timeout=START_SECONDS)
    assert watcher.rows["n1/registry/main"].address == process.address
    assert await process.stop() == 0
    await watcher.close()
