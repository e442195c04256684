"""One transaction, as the statements see it; and what a database must be able to do for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, Protocol

__all__ = ["CollisionError", "Driver", "Fault", "Row", "Session"]

Row = tuple[Any, ...]
"""The columns that the statement names; types as in schema.py."""


class Fault(Enum):
    """What a failed transaction means for those who asked for it."""

    FULL = auto()
    """No room for it; a smaller one may find some."""
    DISK = auto()
    """Reading or writing failed; the database is opened again for the next."""
    STORE = auto()
    """The database can't be used now; it is opened again for the next."""
    BUSY = auto()
    """Another process holds it."""
    AGAIN = auto()
    """Two transactions met; tried again, it may pass."""
    STATEMENT = auto()
    """It refuses what it was told."""
    OURS = auto()
    """None of the database's."""


class CollisionError(Exception):
    """Another process wrote the same key between our look and our write."""


class Driver(Protocol):
    """A database, used by one thread. Statements have `?` for values. Raises what its library raises."""

    locking: str
    """What a SELECT ends with so that no other process gets the same rows."""

    def begin(self) -> None:
        """Opens a transaction that may write. This and `rows` connect where there is no connection."""
        ...

    def next_revision(self) -> int:
        """The number of this transaction: greater than that of any one that ended before it began to write."""
        ...

    def horizon(self) -> int:
        """Every transaction of a lower revision has ended."""
        ...

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]: ...

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """How many rows it changed."""
        ...

    def many(self, statement: str, each: Iterable[Sequence[object]]) -> None: ...

    def returning(self, statement: str, each: Sequence[Sequence[object]]) -> list[list[Row]]:
        """For each the rows that the statement returned."""
        ...

    def array(self, values: Sequence[int | str]) -> object:
        """A value for `among`."""
        ...

    def among(self, column: str) -> str:
        """A condition with one `?`: the column is one of an array."""
        ...

    def commit(self) -> None:
        """Returns when what was written is on the disk."""
        ...

    def rollback(self) -> None:
        """Never raises: what can't be rolled back is closed."""
        ...

    def upgrade(self) -> None:
        """Brings the tables to this version, in one transaction that other processes wait for."""
        ...

    def scrub(self) -> None:
        """After an erasure: leaves as little as the database allows of what was deleted."""
        ...

    def fault(self, error: Exception) -> Fault: ...

    def cause(self, error: Exception) -> str:
        """For the log: names and codes, no values."""
        ...

    def close(self) -> None: ...


class Session:
    """A transaction. `now` is the same for all of it."""

    def __init__(self, driver: Driver, now: float) -> None:
        self.driver = driver
        self.now = now
        self.swept = False
        self.scrub = False
        """What it deleted is to be gone from the files too."""
        self._revision: int | None = None

    @property
    def revision(self) -> int:
        """Of all that this transaction changes. Asking for it is a write: only who changes something does."""
        if self._revision is None:
            self._revision = self.driver.next_revision()
        return self._revision

    @property
    def wrote(self) -> bool:
        return self._revision is not None
