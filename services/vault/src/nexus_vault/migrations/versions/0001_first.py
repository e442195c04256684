"""The first tables: sealed records, authorities, join tokens, denied identities, API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "sealed",
        sa.Column("purpose", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "authorities",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("certificate_pem", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "join_tokens",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("spiffe_id", sa.String(512), nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("expire_time", sa.DateTime, nullable=False),
        sa.Column("redeem_time", sa.DateTime),
    )
    op.create_table(
        "denied",
        sa.Column("spiffe_id", sa.String(512), primary_key=True),
        sa.Column("deny_time", sa.DateTime, nullable=False),
    )
    _create_api_keys()


def _create_api_keys() -> None:
    live = sa.text("revoke_time IS NULL")
    op.create_table(
        "api_keys",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(12), nullable=False, unique=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("expire_time", sa.DateTime),
        sa.Column("revoke_time", sa.DateTime),
    )
    op.create_index(
        "api_keys_live_name", "api_keys", ["name"], unique=True, sqlite_where=live, postgresql_where=live
    )


def downgrade() -> None:
    """Drops all of it."""
    for table in ("api_keys", "denied", "join_tokens", "authorities", "sealed"):
        op.drop_table(table)
