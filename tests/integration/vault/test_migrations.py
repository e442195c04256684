"""The store's tables: made from nothing, by migrations that say the same as the code."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from nexus_vault.core import open_core
from nexus_vault.key_ring import KeyRing
from nexus_vault.migrate import HEAD, migrate
from nexus_vault.tables import METADATA
from nexus_vault.tenant_roll import TenantRoll
from nexus_vault.upgrade import SCRIPTS
from support.vault import vault_settings


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


async def test_keys_of_before_there_were_tenants_stay_good(tmp_path: Path) -> None:
    settings = vault_settings(tmp_path)
    async with open_core(settings) as core:
        made, text = await KeyRing(core.database, core.pepper, "live").create("old", None)
    _to_revision(settings.store_url, "0001")
    assert "tenants" not in dict(_schema(settings.store_url))
    async with open_core(settings) as core:
        keys = KeyRing(core.database, core.pepper, "live")
        tenants = TenantRoll(core.database, keys)
        await keys.load()
        await tenants.load()
        key = keys.authenticate(str(text))
        assert key == made
        tenant = tenants.of(key)
    assert (tenant.id, tenant.name, tenant.zone, tenant.weight) == ("default", "default", "", 1)
    assert (key.zone, key.manage) == ("", False)


def _to_revision(url: sa.URL, revision: str) -> None:
    """Takes a store back to what an earlier version made."""
    engine = sa.create_engine(url.set(drivername="sqlite"))
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()
