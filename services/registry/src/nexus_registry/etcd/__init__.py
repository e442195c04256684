"""A thin asyncio client of etcd v3: what the registry needs, over the mesh's own mutual TLS."""

__all__ = [
    "Changes",
    "Delete",
    "EtcdClient",
    "EtcdError",
    "KeyValue",
    "Lease",
    "LeaseGoneError",
    "PrefixWatch",
    "Put",
    "RangeResult",
    "Snapshot",
    "TxnResult",
    "UnavailableError",
    "absent",
    "delete_op",
    "put_op",
    "unchanged",
]

from nexus_registry.etcd.client import EtcdClient
from nexus_registry.etcd.errors import EtcdError, LeaseGoneError, UnavailableError
from nexus_registry.etcd.kv import absent, delete_op, put_op, unchanged
from nexus_registry.etcd.lease import Lease
from nexus_registry.etcd.model import Changes, Delete, KeyValue, Put, RangeResult, Snapshot, TxnResult
from nexus_registry.etcd.watch import PrefixWatch
