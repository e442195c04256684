"""The trimmed protos against etcd's wire: paths and numbers, not names, are the contract."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from nexus.etcd.v1 import kv_pb2, rpc_pb2

METHODS = {
    "etcdserverpb.KV": "Range Put DeleteRange Txn",
    "etcdserverpb.Watch": "Watch",
    "etcdserverpb.Lease": "LeaseGrant LeaseRevoke LeaseKeepAlive",
    "etcdserverpb.Maintenance": "Status",
}

FIELDS = {
    "KeyValue": "key=1 create_revision=2 mod_revision=3 version=4 value=5 lease=6",
    "Event": "type=1 kv=2",
    "ResponseHeader": "cluster_id=1 member_id=2 revision=3 raft_term=4",
    "RangeRequest": "key=1 range_end=2 limit=3 revision=4",
    "RangeResponse": "header=1 kvs=2 more=3 count=4",
    "PutRequest": "key=1 value=2 lease=3",
    "PutResponse": "header=1",
    "DeleteRangeRequest": "key=1",
    "DeleteRangeResponse": "header=1 deleted=2",
    "RequestOp": "request_range=1 request_put=2 request_delete_range=3",
    "ResponseOp": "response_range=1 response_put=2 response_delete_range=3",
    "Compare": "result=1 target=2 key=3 version=4 create_revision=5 mod_revision=6 value=7 lease=8",
    "TxnRequest": "compare=1 success=2 failure=3",
    "TxnResponse": "header=1 succeeded=2 responses=3",
    "WatchRequest": "create_request=1",
    "WatchCreateRequest": "key=1 range_end=2 start_revision=3 progress_notify=4 fragment=8",
    "WatchResponse": "header=1 watch_id=2 created=3 canceled=4 compact_revision=5 cancel_reason=6 fragment=7 "
    "events=11",
    "LeaseGrantRequest": "ttl=1 id=2",
    "LeaseGrantResponse": "header=1 id=2 ttl=3 error=4",
    "LeaseRevokeRequest": "id=1",
    "LeaseRevokeResponse": "header=1",
    "LeaseKeepAliveRequest": "id=1",
    "LeaseKeepAliveResponse": "header=1 id=2 ttl=3",
    "StatusRequest": "",
    "StatusResponse": "header=1 version=2 db_size=3 leader=4",
}


def test_methods_have_etcds_paths() -> None:
    services = rpc_pb2.DESCRIPTOR.services_by_name.values()
    assert {s.full_name: " ".join(m.name for m in s.methods) for s in services} == METHODS


def test_fields_have_etcds_numbers() -> None:
    files = (kv_pb2.DESCRIPTOR, rpc_pb2.DESCRIPTOR)
    messages = [message for file in files for message in file.message_types_by_name.values()]
    assert {m.name: " ".join(f"{f.name}={f.number}" for f in m.fields) for m in messages} == FIELDS


@pytest.mark.parametrize("package", ["etcd3", "aetcd"])
def test_no_package_that_declares_the_same_symbols_is_installed(package: str) -> None:
    assert find_spec(package) is None
