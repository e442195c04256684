"""Tenants, and what a key demands and may do. Keys there were before belong to the tenant "default"."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the table with its first row, and gives every key a tenant."""
    tenants = op.create_table(
        "tenants",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(12), nullable=False, unique=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("zone", sa.String(63), nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    first = {"id": "default", "name": "default", "zone": "", "weight": 1, "create_time": now, "revision": 0}
    op.bulk_insert(tenants, [first])
    for column in (
        sa.Column("tenant", sa.String(63), nullable=False, server_default="default"),
        sa.Column("zone", sa.String(63), nullable=False, server_default=""),
        sa.Column("manage", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("api_keys", column)


def downgrade() -> None:
    """Drops them."""
    for column in ("revision", "manage", "zone", "tenant"):
        op.drop_column("api_keys", column)
    op.drop_table("tenants")
