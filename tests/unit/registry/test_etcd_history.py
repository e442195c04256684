"""How far a watch has come, for what a real server cannot be made to send at will."""

from __future__ import annotations

import pytest
from nexus.etcd.v1 import kv_pb2, rpc_pb2
from nexus_registry.etcd import Changes, Delete, KeyValue, Put, RangeResult, Snapshot
from nexus_registry.etcd.history import History, HistoryLostError, WatchEndedError
from nexus_registry.etcd.model import Origin
from nexus_registry.etcd.watch import reports_progress_rightly

ORIGIN = Origin(cluster_id=7, raft_term=2)


def header(revision: int, origin: Origin = ORIGIN) -> rpc_pb2.ResponseHeader:
    return rpc_pb2.ResponseHeader(cluster_id=origin.cluster_id, raft_term=origin.raft_term, revision=revision)


def put(key: str, revision: int) -> kv_pb2.Event:
    return kv_pb2.Event(kv=kv_pb2.KeyValue(key=key.encode(), value=b"v", mod_revision=revision))


def response(*events: kv_pb2.Event, revision: int, fragment: bool = False) -> rpc_pb2.WatchResponse:
    return rpc_pb2.WatchResponse(header=header(revision), events=events, fragment=fragment)


def stored(key: str, revision: int) -> KeyValue:
    return KeyValue(key.encode(), b"v", 0, revision, 0, 0)


@pytest.fixture
def history() -> History:
    """A history that has listed one key, `a`, at revision 10."""
    history = History()
    listing = RangeResult(10, (stored("a", 9),), ORIGIN)
    assert history.replace(listing) == Snapshot(10, listing.items)
    return history


def test_it_resumes_after_the_last_event_not_after_the_header(history: History) -> None:
    history.apply(response(put("b", 11), put("c", 12), revision=15))
    assert history.resume() == 13


def test_events_of_one_transaction_stay_together(history: History) -> None:
    update = history.apply(response(put("b", 11), put("c", 11), revision=11))
    assert update == Changes(11, (Put(stored("b", 11)), Put(stored("c", 11))))


def test_a_revision_in_fragments_counts_once_it_is_complete(history: History) -> None:
    assert history.apply(response(put("b", 11), revision=11, fragment=True)) is None
    assert history.revision == 10
    update = history.apply(response(put("c", 11), revision=11))
    assert update == Changes(11, (Put(stored("b", 11)), Put(stored("c", 11))))


def test_fragments_of_a_broken_stream_are_asked_for_again(history: History) -> None:
    history.apply(response(put("b", 11), revision=11, fragment=True))
    assert history.resume() == 11
    update = history.apply(response(put("b", 11), put("c", 11), revision=11))
    assert update is not None
    assert len(update.changes) == 2


def test_events_from_before_the_start_revision_are_dropped(history: History) -> None:
    assert history.apply(response(put("a", 9), revision=10)) is None
    assert history.apply(response(put("a", 9), put("b", 11), revision=11)) == Changes(
        11, (Put(stored("b", 11)),)
    )


@pytest.mark.parametrize(("trusted", "resume"), [(True, 21), (False, 11)])
def test_progress_moves_the_resume_point_on_servers_that_can_be_trusted(
    history: History, trusted: bool, resume: int
) -> None:
    history.trust_progress = trusted
    assert history.apply(response(revision=20)) is None
    assert history.resume() == resume


def test_progress_in_the_middle_of_fragments_does_not_count(history: History) -> None:
    history.trust_progress = True
    history.apply(response(put("b", 11), revision=20, fragment=True))
    history.apply(response(revision=20))
    assert history.revision == 10


def test_the_created_response_does_not_move_the_resume_point(history: History) -> None:
    history.trust_progress = True
    assert history.apply(rpc_pb2.WatchResponse(header=header(20), created=True)) is None
    assert history.resume() == 11


def test_a_cancel_for_another_reason_is_resumed_from_where_it_was(history: History) -> None:
    with pytest.raises(WatchEndedError, match="permission"):
        history.apply(
            rpc_pb2.WatchResponse(header=header(0), canceled=True, cancel_reason="permission denied")
        )
    assert (history.listed, history.resume()) == (True, 11)


def test_a_cancel_by_compaction_asks_for_a_new_listing(history: History) -> None:
    with pytest.raises(HistoryLostError):
        history.apply(rpc_pb2.WatchResponse(header=header(0), canceled=True, compact_revision=30))
    assert not history.listed
    assert history.revision == 10


@pytest.mark.parametrize(
    "created",
    [
        pytest.param(header(9), id="older revision"),
        pytest.param(header(12, Origin(8, 2)), id="another cluster"),
        pytest.param(header(12, Origin(7, 1)), id="older term"),
    ],
)
def test_a_cluster_that_went_back_asks_for_a_new_listing(
    history: History, created: rpc_pb2.ResponseHeader
) -> None:
    with pytest.raises(HistoryLostError):
        history.apply(rpc_pb2.WatchResponse(header=created, created=True))
    assert not history.listed


def test_a_new_listing_is_told_as_the_difference(history: History) -> None:
    history.apply(response(put("b", 11), put("c", 12), revision=12))
    listing = RangeResult(5, (stored("a", 9), stored("b", 4), stored("d", 3)), Origin(7, 3))
    changes = (Delete(b"c", 5), Put(stored("d", 3)), Put(stored("b", 4)))
    assert history.replace(listing) == Changes(5, changes, relisted=True)
    assert history.resume() == 6


@pytest.mark.parametrize(
    ("version", "rightly"),
    [
        ("3.4.24", False),
        ("3.4.25", True),
        ("3.5.1", False),
        ("3.5.7", False),
        ("3.5.8", True),
        ("3.5.21", True),
        ("3.6.0-rc.1", True),
        ("4.0.0", True),
        ("3.6.1+git", True),
        ("", False),
        ("3.3.27", False),
    ],
)
def test_progress_of_old_servers_is_not_trusted(version: str, rightly: bool) -> None:
    assert reports_progress_rightly(version) is rightly
