"""What SQLite needs on every connection: WAL, durable commits, and transactions begun by us alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, event

__all__ = ["BEGIN_WRITE", "create_file", "prepare"]

# Takes the write lock at once: a transaction that reads first and writes later could not wait for it.
BEGIN_WRITE = "BEGIN IMMEDIATE"

PRAGMAS = (
    "PRAGMA busy_timeout = 2000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


def create_file(url: URL) -> None:
    """Makes an empty store, mode 0600, unless it is there. Raises OSError."""
    Path(url.database or "").touch(mode=0o600)


def prepare(engine: Engine) -> None:
    """Has every new connection of the engine set up."""
    event.listen(engine, "connect", _set_up)


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions of its own, and none around DDL
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
