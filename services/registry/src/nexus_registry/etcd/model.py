"""The values this client deals in. Keys and values are bytes; revisions count changes of the whole store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nexus.etcd.v1 import kv_pb2, rpc_pb2


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it was stored by the change with revision `mod_revision`."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int  # 0: lives until it is deleted

    @classmethod
    def of(cls, kv: kv_pb2.KeyValue) -> KeyValue:
        return cls(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which life of which cluster an answer came from. Both parts of a healthy cluster's never go back."""

    cluster_id: int
    raft_term: int

    @classmethod
    def of(cls, header: rpc_pb2.ResponseHeader) -> Origin:
        return cls(header.cluster_id, header.raft_term)

    def may_follow(self, earlier: Origin) -> bool:
        return self.cluster_id == earlier.cluster_id and self.raft_term >= earlier.raft_term


@dataclass(frozen=True, slots=True)
class RangeResult:
    """All keys under a prefix, in key order, as of one revision."""

    revision: int
    items: tuple[KeyValue, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Whether the conditions held, and the store revision after the transaction."""

    succeeded: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """A key was created or overwritten."""

    item: KeyValue


@dataclass(frozen=True, slots=True)
class Delete:
    """A key is gone since `mod_revision`, or was found missing at it if the deletion itself was not seen."""

    key: bytes
    mod_revision: int


Change: TypeAlias = Put | Delete


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything under the watched prefix at `revision`; always the first update of a watch."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in the order to apply them; afterwards the consumer is at `revision`.

    With `relisted` they are the difference to a fresh listing, because history was lost: changes that undid
    each other are not in it, it may be empty, and `revision` may be lower than before (a restored cluster).
    """

    revision: int
    changes: tuple[Change, ...]
    relisted: bool = False


def prefix_end(prefix: bytes) -> bytes:
    """The end, exclusive, of the range of keys that start with `prefix` (a zero byte: no end)."""
    kept = prefix.rstrip(b"\xff")
    if not kept:
        return b"\0"
    return kept[:-1] + bytes([kept[-1] + 1])
