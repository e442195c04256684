"""Brings the store to this version's tables at start, or says why it cannot."""

from __future__ import annotations

from sqlalchemy import URL, Connection, NullPool, create_engine, inspect
from sqlalchemy.exc import DatabaseError

from nexus_vault import sqlite
from nexus_vault.errors import VaultUnusableError

__all__ = ["HEAD", "migrate"]

HEAD = "0003"
"""The newest revision in migrations/versions; a test holds the two equal."""
BLOCKING_DRIVERS = {"sqlite+aiosqlite": "sqlite+pysqlite"}


def migrate(url: URL) -> None:
    """Checks the store and runs what is missing, in one transaction. Blocks. Raises VaultUnusableError."""
    engine = create_engine(
        url.set(drivername=BLOCKING_DRIVERS.get(url.drivername, url.drivername)), poolclass=NullPool
    )
    is_sqlite = engine.dialect.name == "sqlite"
    place = url.database if is_sqlite else url.render_as_string(hide_password=True)
    try:
        if is_sqlite:
            sqlite.create_file(url)
            sqlite.prepare(engine)
        with engine.begin() as connection:
            if is_sqlite:
                _check(connection)
                connection.exec_driver_sql(sqlite.BEGIN_WRITE)
            _upgrade(connection)
    except (DatabaseError, OSError) as error:
        cause = error.strerror if isinstance(error, OSError) else error.orig
        raise VaultUnusableError(
            f"The store {place} cannot be used ({cause}): check file and disk, or restore a backup."
        ) from None


def _check(connection: Connection) -> None:
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise VaultUnusableError(
            f"The store {connection.engine.url.database} is damaged ({verdict}): restore a backup."
        )


def _upgrade(connection: Connection) -> None:
    if _revision(connection) == HEAD:
        return
    from nexus_vault.upgrade import UnknownRevisionError, upgrade

    try:
        upgrade(connection)
    except UnknownRevisionError:
        place = connection.engine.url.render_as_string(hide_password=True)
        raise VaultUnusableError(
            f"The store {place} was written by a newer version: update this one."
        ) from None


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
