"""Where bytes lie: what a folder, or an object storage, must be able to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Address", "ObjectStore", "Part", "Reader", "StorageError"]


class StorageError(OSError):
    """Of a storage behind a network. `why` completes "The store's object storage ..."."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Address:
    """A content of one tenant. Tenants share none: who sends bytes learns nothing of another who has them."""

    tenant: str
    sha256: bytes


class Part(Protocol):
    """Bytes on their way in."""

    def write(self, data: bytes | bytearray) -> None: ...

    def keep(self, address: Address) -> None:
        """Returns when all of it is durable under the address, where the same bytes may lie already."""
        ...

    def drop(self) -> None:
        """Forgets what was not kept. Safe to call at any time; never raises."""
        ...


class Reader(Protocol):
    def read(self, length: int) -> bytes:
        """The next bytes, fewer only at the end."""
        ...

    def close(self) -> None:
        """Safe to call twice."""
        ...


class ObjectStore(Protocol):
    """All of it blocks, and raises OSError."""

    def part(self) -> Part: ...

    def open(self, address: Address, offset: int) -> Reader:
        """Reads on what was removed meanwhile. Raises FileNotFoundError."""
        ...

    def remove(self, address: Address) -> None:
        """Returns when it is gone for good, also if it was not there."""
        ...

    def remove_tenant(self, tenant: str) -> None:
        """All of it."""
        ...

    def keep_only(self, known: Iterable[Address]) -> int:
        """Removes what nobody knows of, and parts of a process that was killed: how many contents. Nobody may be
        writing.
        """
        ...
