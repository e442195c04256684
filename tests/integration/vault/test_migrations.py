"""The store's tables: made from nothing, by migrations that say the same as the code."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from nexus_vault.migrate import HEAD, migrate
from nexus_vault.tables import METADATA
from nexus_vault.upgrade import SCRIPTS


@pytest.fixture
def url(tmp_path: Path) -> sa.URL:
    return sa.URL.create("sqlite+aiosqlite", database=str(tmp_path / "vault 100%.db"))


def test_migrations_make_the_tables_the_code_knows(url: sa.URL) -> None:
    migrate(url)
    engine = sa.create_engine(url.set(drivername="sqlite"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(url: sa.URL) -> None:
    migrate(url)
    before = _schema(url)
    migrate(url)
    assert _schema(url) == before


def test_the_store_is_in_wal_mode(url: sa.URL) -> None:
    migrate(url)
    connection = sqlite3.connect(str(url.database))
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


def _schema(url: sa.URL) -> list[tuple[str, str]]:
    connection = sqlite3.connect(str(url.database))
    rows = connection.execute("select name, sql from sqlite_master order by name").fetchall()
    connection.close()
    return rows


def test_the_head_this_version_names_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == HEAD
