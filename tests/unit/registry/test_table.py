"""The table: revisions, what changed since, and what can no longer be told."""

from __future__ import annotations

import pytest
from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core.errors import MeshError, Reason
from nexus_registry.instances import INSTANCES
from nexus_registry.table import Table


def row(name: str, version: str = "1") -> Instance:
    return Instance(id=f"n1/adapter/{name}", role="adapter", name=name, version=version)


def test_each_change_counts_once_and_no_change_counts_not() -> None:
    table = Table(INSTANCES)
    table.put(row("a"))
    table.put(row("a"))
    assert table.revision == 1
    table.put(row("a", "2"))
    table.delete("n1/adapter/a")
    table.delete("n1/adapter/a")
    assert table.revision == 3
    assert list(table.rows()) == []


def test_since_tells_the_newest_state_of_what_changed_in_order() -> None:
    table = Table(INSTANCES)
    for name in "abc":
        table.put(row(name))
    table.put(row("a", "2"))
    table.delete("n1/adapter/b")
    told = [(change.revision, change.id, change.row) for change in table.since(table.epoch, 2)]
    assert told == [
        (3, "n1/adapter/c", row("c")),
        (4, "n1/adapter/a", row("a", "2")),
        (5, "n1/adapter/b", None),
    ]
    assert table.since(table.epoch, 5) == []


def test_what_came_back_is_not_told_as_gone() -> None:
    table = Table(INSTANCES)
    table.put(row("a"))
    table.delete("n1/adapter/a")
    table.put(row("a", "2"))
    assert [change.row for change in table.since(table.epoch, 1)] == [row("a", "2")]


@pytest.mark.parametrize(("epoch", "revision"), [("other", 1), ("", 1), (None, 9), (None, -1)])
def test_an_unknown_point_cannot_be_resumed_from(epoch: str | None, revision: int) -> None:
    table = Table(INSTANCES)
    table.put(row("a"))
    with pytest.raises(MeshError) as caught:
        table.since(table.epoch if epoch is None else epoch, revision)
    assert caught.value.reason is Reason.REVISION_EXPIRED


def test_deletions_are_remembered_only_so_far() -> None:
    table = Table(INSTANCES, graves=2)
    for name in "abc":
        table.put(row(name))
    for name in "abc":
        table.delete(f"n1/adapter/{name}")
    with pytest.raises(MeshError):
        table.since(table.epoch, 3)
    assert [change.id for change in table.since(table.epoch, 4)] == ["n1/adapter/b", "n1/adapter/c"]


def test_two_tables_have_two_epochs() -> None:
    assert Table(INSTANCES).epoch != Table(INSTANCES).epoch
