"""SQLite: WAL, fsync at each commit, one file for any number of processes of one machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from nexus_database.schema import Schema
from nexus_database.session import CollisionError, Fault, Row

__all__ = ["Sqlite"]

PRAGMAS = (
    "PRAGMA busy_timeout = 2000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
)
TYPES = {
    "number": "INTEGER PRIMARY KEY AUTOINCREMENT",  # an erased row's number never becomes another's
    "int64": "INTEGER",
    "float64": "REAL",
    "text": "TEXT",
    "blob": "BLOB",
}
FAULTS = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
}
PRIMARY = 0xFF
"""Of SQLite's result codes: the rest of the bits only says more."""
LAST = 2**63 - 1


class Sqlite:
    """The file at `path`, mode 0600. Its folder must be there."""

    locking = ""  # a transaction that writes is alone

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        self._schema = schema
        self._next = f"UPDATE {schema.name}_counter SET revision = revision + 1 RETURNING revision"
        self._opened: sqlite3.Connection | None = None

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._connect() if self._opened is None else self._opened

    def _connect(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
        try:
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        self._opened = connection
        return connection

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def next_revision(self) -> int:
        return int(self.rows(self._next)[0][0])

    def horizon(self) -> int:
        return LAST

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        return self._connection.execute(statement, values).rowcount

    def many(self, statement: str, each: Iterable[Sequence[object]]) -> None:
        self._connection.executemany(statement, each)

    def returning(self, statement: str, each: Sequence[Sequence[object]]) -> list[list[Row]]:
        return [self.rows(statement, values) for values in each]

    def array(self, values: Sequence[int | str]) -> object:
        return json.dumps(values)

    def among(self, column: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(?))"

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._opened is None:
            return
        try:
            if self._opened.in_transaction:
                self._opened.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def upgrade(self) -> None:
        self.begin()
        self._schema.upgrade(self, TYPES)
        self.commit()

    def scrub(self) -> None:
        """The write-ahead log still has pages as they were."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def fault(self, error: Exception) -> Fault:
        if isinstance(error, CollisionError):
            return Fault.AGAIN
        if not isinstance(error, sqlite3.Error | OSError):
            return Fault.OURS
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            return Fault.STATEMENT
        return FAULTS.get(code & PRIMARY, Fault.STORE) if code is not None else Fault.STORE

    def cause(self, error: Exception) -> str:
        name: str | None = getattr(error, "sqlite_errorname", None)
        return name or type(error).__name__

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
