"""Who is where, from two sources: registrations here, and a store that other registries write too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, STATE_DRAINING, Instance, Status
from nexus_mesh.core.errors import MeshError, Reason
from nexus_registry.directory import Directory
from nexus_registry.instances import INSTANCES
from nexus_registry.registration import Beat
from nexus_registry.table import Table
from structlog.testing import capture_logs
from support.waiting import eventually

ID = "n1/adapter/box"


class NotedKeeper:
    """A Keeper that remembers what it was asked to do."""

    def __init__(self) -> None:
        self.kept: list[Instance] = []
        self.restored: list[str] = []
        self.dropped: list[str] = []
        self.erased: list[str] = []

    def keep(self, instance: Instance) -> None:
        self.kept.append(instance)

    def restore(self, instance: Instance, revision: int) -> None:
        self.restored.append(instance.id)

    def drop(self, instance_id: str) -> None:
        self.dropped.append(instance_id)

    def erase(self, instance_id: str) -> None:
        self.erased.append(instance_id)


class House:
    """A directory with its table and its keeper."""

    def __init__(self, lifetime: float) -> None:
        self.table, self.keeper = Table(INSTANCES), NotedKeeper()
        self.directory = Directory(self.table, self.keeper, lifetime, frozenset({"127.0.0.1:2379"}))

    @property
    def row(self) -> Instance | None:
        return self.table.get(ID)

    @property
    def connected(self) -> bool:
        return self.row is not None and self.row.connected


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House(lifetime=30)
    yield house
    house.directory.close()


def instance(at: int = 1, *, name: str = "box", connected: bool = False, port: int = 7450) -> Instance:
    """A row as of a Register call at second `at`."""
    row = Instance(id=f"n1/adapter/{name}", role="adapter", name=name, address=f"127.0.0.1:{port}")
    row.register_time.FromSeconds(at)
    row.status.state = STATE_ACTIVE
    row.connected = connected
    return row


async def test_an_instance_is_connected_while_a_stream_is_open(house: House) -> None:
    house.directory.register(instance())
    assert house.connected, "its stream follows in a moment"
    beat = house.directory.attach(ID)
    assert house.connected
    house.directory.detach(ID, beat)
    assert not house.connected
    assert [row.connected for row in house.keeper.kept] == [True, True, False]


async def test_a_second_stream_takes_over_without_a_blip(house: House) -> None:
    house.directory.register(instance())
    old = house.directory.attach(ID)
    revision = house.table.revision
    house.directory.register(instance(2))
    assert house.connected
    new = house.directory.attach(ID)
    house.directory.detach(ID, old)
    assert house.connected
    assert all(
        change.row and change.row.connected for change in house.table.since(house.table.epoch, revision)
    )
    house.directory.detach(ID, new)
    assert not house.connected


async def test_a_status_reaches_the_table_with_the_revision_told(house: House) -> None:
    house.directory.register(instance())
    beat = house.directory.attach(ID)
    revision = house.directory.beat(ID, beat, Status(state=STATE_DRAINING))
    assert revision == house.table.revision
    assert house.row is not None
    assert house.row.status.state == STATE_DRAINING
    assert house.directory.beat(ID, beat, None) == revision


async def test_rows_handed_out_are_never_changed(house: House) -> None:
    house.directory.register(instance())
    beat = house.directory.attach(ID)
    before = house.row
    assert before is not None
    copy = before.SerializeToString()
    house.directory.beat(ID, beat, Status(state=STATE_DRAINING))
    assert before.SerializeToString() == copy


@pytest.mark.security
async def test_whoever_was_there_before_is_told_and_comes_back(house: House) -> None:
    """A1: a copy of an identity that registered once kept its rows at its own address for ever: the true one beat on
    for a row that was no longer its own."""
    house.directory.register(instance())
    true = house.directory.attach(ID)
    with capture_logs() as lines:
        house.directory.register(instance(2, port=6666))
    copy = house.directory.attach(ID)
    assert [(line["before"], line["now"]) for line in lines] == [("127.0.0.1:7450", "127.0.0.1:6666")]
    with pytest.raises(MeshError) as caught:
        house.directory.beat(ID, true, None)
    assert caught.value.reason is Reason.OBJECT_NOT_FOUND
    house.directory.detach(ID, true)
    assert house.connected
    house.directory.register(instance(3))
    back = house.directory.attach(ID)
    house.directory.detach(ID, copy)
    house.directory.beat(ID, back, None)
    assert house.connected
    assert house.row is not None
    assert house.row.address == "127.0.0.1:7450"


async def test_who_is_not_registered_cannot_beat(house: House) -> None:
    for call in (lambda: house.directory.attach(ID), lambda: house.directory.beat(ID, Beat(), None)):
        with pytest.raises(MeshError) as caught:
            call()
        assert caught.value.reason is Reason.OBJECT_NOT_FOUND


async def test_a_lost_instance_is_removed_after_its_time() -> None:
    house = House(lifetime=0.02)
    house.directory.register(instance())
    house.directory.detach(ID, house.directory.attach(ID))
    assert house.row is not None
    await eventually(lambda: house.row is None)
    assert house.keeper.dropped == [ID]
    house.directory.stored(instance(), 5)
    assert house.row is None, "our own last write, heard late, must not bring it back"


async def test_who_registers_and_opens_no_stream_is_removed() -> None:
    house = House(lifetime=0.02)
    house.directory.register(instance())
    await eventually(lambda: house.row is None)
    assert house.keeper.dropped == [ID]


async def test_coming_back_in_time_keeps_the_row() -> None:
    house = House(lifetime=0.05)
    house.directory.register(instance())
    house.directory.detach(ID, house.directory.attach(ID))
    house.directory.register(instance(2))
    house.directory.attach(ID)
    house.directory.register(instance(3, name="other", port=1))
    await eventually(lambda: house.table.get("n1/adapter/other") is None)
    assert house.connected
    house.directory.close()


async def test_deregister_removes_at_once_and_for_good(house: House) -> None:
    house.directory.register(instance())
    beat = house.directory.attach(ID)
    house.directory.deregister(ID)
    assert house.row is None
    assert house.keeper.dropped == [ID]
    house.directory.detach(ID, beat)
    house.directory.stored(instance(), 5)
    assert house.row is None
    house.directory.register(instance(2))
    assert house.row is not None
    house.directory.deregister("n1/adapter/nobody")


async def test_deregister_of_a_row_from_before_a_restart_erases_it(house: House) -> None:
    house.directory.stored(instance(connected=True), 1)
    house.directory.deregister(ID)
    assert house.row is None
    assert house.keeper.erased == [ID]


async def test_rows_of_others_come_and_go_with_the_store(house: House) -> None:
    house.directory.stored(instance(connected=True), 1)
    assert house.connected
    house.directory.unstored(ID, 2)
    assert house.row is None
    assert house.keeper.kept == []


async def test_taking_over_a_row_from_before_a_restart_is_no_blip(house: House) -> None:
    house.directory.stored(instance(connected=True), 1)
    house.directory.register(instance(2))
    assert house.connected
    house.directory.stored(instance(connected=True), 2)
    assert house.row is not None
    assert house.row.register_time.seconds == 2


async def test_a_row_of_ours_that_the_store_lost_is_written_again(house: House) -> None:
    house.directory.register(instance())
    house.directory.attach(ID)
    house.directory.unstored(ID, 3)
    assert house.connected
    assert house.keeper.restored == [ID]


async def test_an_instance_that_moved_is_left_to_the_other_registry(house: House) -> None:
    house.directory.register(instance(1))
    beat = house.directory.attach(ID)
    moved = instance(2, connected=True, port=7451)
    house.directory.stored(moved, 4)
    assert house.row is not None
    assert house.row.register_time.seconds == 1, "our own connection is better knowledge than the store"
    house.directory.detach(ID, beat)
    assert house.row == moved
    assert house.keeper.dropped == [ID]


async def test_an_instance_that_moved_after_we_lost_it(house: House) -> None:
    house.directory.register(instance(1))
    house.directory.detach(ID, house.directory.attach(ID))
    moved = instance(2, connected=True)
    house.directory.stored(moved, 4)
    assert house.row == moved
    with pytest.raises(MeshError):
        house.directory.beat(ID, Beat(), None)


async def test_an_older_row_of_ours_is_overwritten(house: House) -> None:
    house.directory.register(instance(2))
    house.directory.attach(ID)
    house.directory.stored(instance(1), 4)
    assert house.connected
    assert house.keeper.restored == [ID]


@pytest.mark.parametrize("port", [7450, 2379])
async def test_nobody_takes_the_address_of_somebody_else(house: House, port: int) -> None:
    house.directory.register(instance())
    house.directory.attach(ID)
    with pytest.raises(MeshError) as caught:
        house.directory.register(instance(name="thief", port=port))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata == {"param": "port"}


async def test_the_address_of_a_lost_instance_is_free(house: House) -> None:
    house.directory.register(instance())
    house.directory.detach(ID, house.directory.attach(ID))
    house.directory.register(instance(name="heir"))
    assert house.table.get("n1/adapter/heir") is not None
