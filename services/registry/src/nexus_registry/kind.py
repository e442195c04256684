"""What must be known of a kind of row to keep a table of it, here and in etcd. A further table starts with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

__all__ = ["Kind", "Row"]

Row = TypeVar("Row", bound=Message)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row]):
    """Rows are messages, told apart by their id. They are never changed in place: watchers still hold them.

    `name` is for people and logs. Keys in etcd are `prefix` and the id. `urgent`: what of a row others must learn of
    without delay; a change of everything else may wait half a second. `owned`: whether a row overwrites whatever
    stands in etcd; one that is not is written only over our own last write, so that whoever took it over keeps it.
    """

    name: str
    message: type[Row]
    prefix: bytes
    id_of: Callable[[Row], str]
    urgent: Callable[[Row], object]
    owned: Callable[[Row], bool] = lambda _: True

    def key(self, row_id: str) -> bytes:
        return self.prefix + row_id.encode()

    def id_in(self, key: bytes) -> str:
        """The row a key under `prefix` belongs to; bytes that are no text are replaced and match nothing."""
        return key.removeprefix(self.prefix).decode(errors="replace")

    def encode(self, row: Row) -> bytes:
        return row.SerializeToString(deterministic=True)

    def decode(self, key: bytes, value: bytes) -> Row | None:
        """The row stored under a key; None if the value is not one, or not this key's."""
        try:
            row = self.message.FromString(value)
        except DecodeError:
            return None
        return row if self.id_of(row) == self.id_in(key) else None
