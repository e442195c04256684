"""Identities as they are known, what they may claim, and denials that say why and can be taken back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the table of identities; denials and join tokens get their new columns."""
    op.create_table(
        "identities",
        sa.Column("spiffe_id", sa.String(512), primary_key=True),
        sa.Column("create_time", sa.DateTime, nullable=False),
        sa.Column("issue_time", sa.DateTime),
        sa.Column("expire_time", sa.DateTime),
        sa.Column("serial", sa.String(64), nullable=False),
        sa.Column("used", sa.Boolean, nullable=False),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("alarm_time", sa.DateTime),
    )
    for column in (
        sa.Column("reason", sa.String(256), nullable=False, server_default=""),
        sa.Column("author", sa.String(512), nullable=False, server_default=""),
        sa.Column("allow_time", sa.DateTime),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
    ):
        op.add_column("denied", column)
    op.execute(
        "INSERT INTO identities (spiffe_id, create_time, serial, used, renewals, claims)"
        " SELECT spiffe_id, deny_time, '', false, 0, '' FROM denied"
    )
    op.add_column("join_tokens", sa.Column("redeemed_key", sa.LargeBinary(32)))
    op.add_column("join_tokens", sa.Column("claims", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Drops them. Denials taken back are forgotten, for to an earlier version they would count again."""
    op.execute("DELETE FROM denied WHERE allow_time IS NOT NULL")
    for column in ("claims", "redeemed_key"):
        op.drop_column("join_tokens", column)
    for column in ("revision", "allow_time", "author", "reason"):
        op.drop_column("denied", column)
    op.drop_table("identities")
