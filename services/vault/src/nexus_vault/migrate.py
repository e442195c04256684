"""Brings the store to this version's tables at start, or says why it cannot."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DatabaseError

from nexus_vault import sqlite
from nexus_vault.errors import VaultUnusableError

__all__ = ["migrate"]

SCRIPTS = Path(__file__).parent / "migrations"
BLOCKING_DRIVERS = {"sqlite+aiosqlite": "sqlite+pysqlite"}
ALEMBIC = threading.Lock()  # alembic keeps the running environment in module globals


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
        with ALEMBIC, engine.begin() as connection:
            if is_sqlite:
                _check(connection)
                connection.exec_driver_sql(sqlite.BEGIN_WRITE)
            _upgrade(connection)
    except (DatabaseError, OSError) as error:
        cause = error.strerror if isinstance(error, OSError) else error.orig
        raise VaultUnusableError(
            f"The store {place} cannot be used ({cause}): check file and disk, or restore a backup."
        ) from None
    except CommandError:
        raise VaultUnusableError(
            f"The store {place} was written by a newer version: update this one."
        ) from None


def _check(connection: Connection) -> None:
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise VaultUnusableError(
            f"The store {connection.engine.url.database} is damaged ({verdict}): restore a backup."
        )


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
