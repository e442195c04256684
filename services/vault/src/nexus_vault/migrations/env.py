"""Alembic's entry: runs the migrations on the connection that nexus_vault.migrate opened."""

from __future__ import annotations

from alembic import context
from nexus_vault.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True
)
context.run_migrations()
