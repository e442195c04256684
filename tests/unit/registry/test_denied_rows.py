"""Rows of withdrawn identities: gone at once, kept out wherever they come from, back when the denial ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, Instance
from nexus_mesh.identity.denials import Denials
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_registry.denied_rows import DeniedRows
from nexus_registry.directory import Directory
from nexus_registry.instances import INSTANCES
from nexus_registry.store import Rows
from nexus_registry.table import Table

pytestmark = pytest.mark.security
BAD = SpiffeId("nexus.internal", "default", "worker", "adapter", "main")
GOOD = SpiffeId("nexus.internal", "default", "box", "adapter", "main")


class NoStore:
    """A Keeper of nothing."""

    def keep(self, instance: Instance) -> None: ...

    def restore(self, instance: Instance, revision: int) -> None: ...

    def drop(self, instance_id: str) -> None: ...

    def erase(self, instance_id: str) -> None: ...


class House:
    """A directory whose store is looked at through the denials."""

    def __init__(self) -> None:
        self.table, self.denied = Table(INSTANCES), Denials()
        self.directory = Directory(self.table, NoStore(), 30)
        self.rows: Rows = DeniedRows(self.directory, self.denied)

    def shown(self) -> set[str]:
        return {instance.node for instance in self.table.rows()}

    def deny(self, *who: SpiffeId) -> None:
        self.denied.replace(map(str, who), self.denied.revision + 1)


def row(who: SpiffeId, at: int = 1) -> Instance:
    instance = Instance(id=who.instance_id, role=who.role, node=who.node, zone=who.zone, name=who.name)
    instance.server_name, instance.address = who.server_name, f"127.0.0.1:{7000 + len(who.node)}"
    instance.register_time.FromSeconds(at)
    instance.status.state = STATE_ACTIVE
    return instance


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    house.directory.close()


async def test_a_row_of_the_store_goes_with_the_denial_and_comes_back_with_its_end(house: House) -> None:
    """A2: registries drop rows that others wrote."""
    house.rows.stored(row(BAD), 5)
    house.rows.stored(row(GOOD), 6)
    assert house.shown() == {"worker", "box"}
    house.deny(BAD)
    assert house.shown() == {"box"}
    house.deny()
    assert house.shown() == {"worker", "box"}


async def test_a_registration_here_goes_with_the_denial(house: House) -> None:
    """A2: what is connected is not kept for that."""
    house.directory.register(row(BAD))
    house.directory.attach(BAD.instance_id)
    house.deny(BAD)
    assert house.shown() == set()
    house.rows.stored(row(BAD, at=2), 7)
    assert house.shown() == set()


async def test_what_the_store_has_at_a_start_is_kept_out(house: House) -> None:
    """A2: after kill -9 the rows come from etcd, and the denial from the disk."""
    house.deny(BAD)
    for revision in range(1, 4):
        house.rows.stored(row(BAD, at=revision), revision)
    assert house.shown() == set()
    house.rows.unstored(BAD.instance_id, 9)
    house.deny()
    assert house.shown() == set()
