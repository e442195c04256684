"""kill -9 in the midst of puts and deletions: no half file is left, and none that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nexus_mesh.core.errors import MeshError
from nexus_mesh.identity import tls
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.rpc.client import Peer
from support.ca import MeshCA
from support.processes import ChildProcess, free_port, start
from support.store_client import StoreClient, files
from support.waiting import eventually

ROUNDS = 4
SENDERS = 4
ENOUGH = 12
"""Files acknowledged in a round before the kill."""


class StoreProcess:
    """One home, one port, one process at a time, and gateways that write to it without pause."""

    def __init__(self, home: Path, ca: MeshCA) -> None:
        self.home = home
        self.kept: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.doubtful: set[str] = set()
        """Whose deletion was not answered."""
        self._random = random.Random(7)
        self._port = free_port()
        self._ca = ca
        tls.store(home / "identities" / "store-main", ca.material(ca.spiffe("store")))

    async def start(self) -> ChildProcess:
        nowhere = f"127.0.0.1:{free_port()}"
        told = {"home": str(self.home), "node": "n1", "port": str(self._port)}
        told |= {"registry": nowhere, "vault": nowhere}
        arguments = [word for name, value in told.items() for word in (f"--{name}", value)]
        run = self.home / "run" / "store-main.json"
        run.unlink(missing_ok=True)
        child = start([sys.executable, "-m", "nexus_store", *arguments], self.home / "log")
        await eventually(lambda: run.exists() or not child.alive, 60, "the start")
        assert child.alive, child.output()
        return child

    @asynccontextmanager
    async def client(self) -> AsyncIterator[StoreClient]:
        identity = self._ca.identity("gateway")
        peer = Peer(f"127.0.0.1:{self._port}", role_server_name("store", "nexus.internal"), identity)
        try:
            yield StoreClient(peer, identity)
        finally:
            await peer.close()

    async def write(self) -> None:
        """Until the store is gone."""
        async with self.client() as client:
            with contextlib.suppress(MeshError):
                while True:
                    data = self._random.randbytes(self._random.choice([3, 70_000, 2_500_000]))
                    self.kept[(await client.put(data)).id] = data
                    if self._random.random() < 0.3:
                        await self._delete(client, self._random.choice(list(self.kept)))

    async def _delete(self, client: StoreClient, object_id: str) -> None:
        data = self.kept.pop(object_id, None)
        if data is None:
            return
        self.doubtful.add(object_id)
        await client.delete(object_id)
        self.doubtful.discard(object_id)
        self.gone.add(object_id)

    async def check(self) -> None:
        async with self.client() as client:
            found = {one.id: one for one in (await client.page(size=1000)).objects}
            for object_id, data in self.kept.items():
                assert (await client.get(object_id))[1] == data, "acknowledged, and lost"
            assert not self.gone & set(found), "deleted, and back"
            for object_id in found:
                await client.get(object_id)  # its digest is compared
            contents = {one.sha256.hex() for one in found.values()}
            assert {path.name for path in files(self.home / "store")} == contents, (
                "nothing half, nothing left over"
            )
            assert (await client.usage()).objects == len(found)


async def test_kills(tmp_path: Path, mesh_ca: MeshCA) -> None:
    store = StoreProcess(tmp_path, mesh_ca)
    for _ in range(ROUNDS):
        child = await store.start()
        try:
            before = len(store.kept) + len(store.gone)
            senders = [asyncio.create_task(store.write()) for _ in range(SENDERS)]
            enough = before + ENOUGH
            await eventually(lambda n=enough: len(store.kept) + len(store.gone) >= n, 60, "files")
        finally:
            child.kill()
        await asyncio.gather(*senders)
        child = await store.start()
        try:
            await store.check()
        finally:
            assert child.stop() == 0, child.output()
