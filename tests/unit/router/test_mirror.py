"""The router's copy of the registry's table."""

from __future__ import annotations

from nexus.registry.v1.instance_pb2 import Backend, Instance, Load
from nexus.registry.v1.registry_pb2 import Synced, WatchRequest, WatchResponse
from nexus_router.mirror import Effect, Mirror

GRACE = 15.0


def mirroring() -> Mirror:
    return Mirror(GRACE, lambda row: row.zone != "forged")


def row(name: str, *, active: int = 0, version: str = "1") -> Instance:
    instance = Instance(id=name, role="adapter", version=version)
    instance.status.backends.append(Backend(name="b", load=Load(active=active)))
    return instance


def put(instance: Instance, revision: int, epoch: str = "e1") -> WatchResponse:
    return WatchResponse(epoch=epoch, revision=revision, put=instance)


def snapshot(mirror: Mirror, *names: str, epoch: str = "e1", revision: int = 5, now: float = 0.0) -> None:
    """A connection that brings a whole table."""
    mirror.restart()
    assert mirror.request() == WatchRequest()
    for name in names:
        assert mirror.apply(put(row(name), 0, epoch), now) is Effect.NOTHING
    marker = WatchResponse(epoch=epoch, revision=revision, synced=Synced())
    assert mirror.apply(marker, now) is Effect.SHAPE


def test_a_snapshot_counts_only_from_its_marker() -> None:
    mirror = mirroring()
    mirror.request()
    mirror.apply(put(row("a"), 0), 0.0)
    assert not mirror.synced
    assert mirror.instances == {}
    snapshot(mirror, "a", "b")
    assert mirror.synced
    assert set(mirror.instances) == {"a", "b"}


def test_it_resumes_from_the_last_message() -> None:
    mirror = mirroring()
    snapshot(mirror, "a")
    mirror.apply(put(row("b"), 6), 0.0)
    assert mirror.request() == WatchRequest(epoch="e1", revision=6)
    mirror.apply(WatchResponse(epoch="e1", revision=7, delete="a"), 0.0)
    assert set(mirror.instances) == {"b"}


def test_cut_off_in_the_middle_of_the_first_snapshot_it_starts_over() -> None:
    mirror = mirroring()
    mirror.request()
    mirror.apply(put(row("a"), 0), 0.0)
    assert mirror.request() == WatchRequest()
    mirror.apply(WatchResponse(epoch="e1", revision=1, synced=Synced()), 0.0)
    assert mirror.instances == {}


def test_how_much_a_change_changes() -> None:
    mirror = mirroring()
    snapshot(mirror, "a")
    assert mirror.apply(put(row("a"), 6), 0.0) is Effect.NOTHING
    assert mirror.apply(put(row("a", active=3), 7), 0.0) is Effect.LOAD
    managing = row("a", active=3)
    managing.status.devices.add(name="gpu0")
    assert mirror.apply(put(managing, 8), 0.0) is Effect.SHAPE
    full = row("a", active=3)
    full.status.devices.add(name="gpu0", waiting=1)
    assert mirror.apply(put(full, 8), 0.0) is Effect.LOAD
    moved = row("a", active=3)
    moved.status.devices.add(name="gpu0", waiting=1, backends=["b"])
    assert mirror.apply(put(moved, 8), 0.0) is Effect.SHAPE
    assert mirror.apply(put(row("a", active=4, version="2"), 8), 0.0) is Effect.SHAPE
    assert mirror.apply(put(row("b"), 9), 0.0) is Effect.SHAPE
    assert mirror.apply(WatchResponse(epoch="e1", revision=10, delete="b"), 0.0) is Effect.SHAPE
    assert mirror.apply(WatchResponse(epoch="e1", revision=11, delete="b"), 0.0) is Effect.NOTHING


def test_a_new_registry_is_given_time_to_hear_of_everybody() -> None:
    mirror = mirroring()
    snapshot(mirror, "a", "b", "c")
    snapshot(mirror, "a", epoch="e2", now=100.0)
    assert set(mirror.instances) == {"a", "b", "c"}
    mirror.apply(put(row("b"), 9, "e2"), 101.0)
    assert mirror.expire(114.9) == 115.0
    assert set(mirror.instances) == {"a", "b", "c"}
    assert mirror.expire(115.0) is None
    assert set(mirror.instances) == {"a", "b"}


def test_a_second_restart_does_not_prolong_the_doubt() -> None:
    mirror = mirroring()
    snapshot(mirror, "a", "b")
    snapshot(mirror, "a", epoch="e2", now=100.0)
    snapshot(mirror, "a", epoch="e3", now=110.0)
    assert mirror.expire(110.0) == 115.0


def test_the_same_registry_is_believed_at_once() -> None:
    mirror = mirroring()
    snapshot(mirror, "a", "b")
    snapshot(mirror, "a", now=100.0)
    assert mirror.expire(100.0) is None
    assert set(mirror.instances) == {"a"}


def test_a_deletion_that_is_announced_is_believed_at_once() -> None:
    mirror = mirroring()
    snapshot(mirror, "a", "b")
    snapshot(mirror, "a", epoch="e2", now=100.0)
    mirror.apply(WatchResponse(epoch="e2", revision=9, delete="b"), 101.0)
    assert set(mirror.instances) == {"a"}
    assert mirror.expire(115.0) is None


def test_a_row_that_does_not_follow_from_an_identity_is_as_if_it_were_not_there() -> None:
    """A1: neither in the first snapshot nor later, and it does not take the place of the true one."""
    mirror = mirroring()
    forged = row("a")
    forged.zone, forged.address = "forged", "10.6.6.6:1"
    mirror.request()
    mirror.apply(put(forged, 0), 0.0)
    mirror.apply(WatchResponse(epoch="e1", revision=5, synced=Synced()), 0.0)
    assert mirror.instances == {}
    mirror.apply(put(row("a"), 6), 0.0)
    assert mirror.apply(put(forged, 7), 0.0) is Effect.NOTHING
    assert mirror.instances["a"].address == ""
    assert mirror.request() == WatchRequest(epoch="e1", revision=7)
