"""The vault's tables. Migrations make them; a test holds the two equal."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

__all__ = ["METADATA", "api_keys", "authorities", "denied", "identities", "join_tokens", "sealed", "tenants"]


class UtcTime(sa.TypeDecorator[datetime.datetime]):
    """An aware UTC time, stored without its zone: SQLite has no type for one."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime.datetime | None,
        dialect: sa.Dialect,  # noqa: ARG002 - the library calls it so
    ) -> datetime.datetime | None:
        return None if value is None else value.astimezone(datetime.UTC).replace(tzinfo=None)

    def process_result_value(
        self,
        value: datetime.datetime | None,
        dialect: sa.Dialect,  # noqa: ARG002 - the library calls it so
    ) -> datetime.datetime | None:
        return None if value is None else value.replace(tzinfo=datetime.UTC)


METADATA = sa.MetaData()

# Private keys and the pepper, encrypted; the primary key is the record's label.
sealed = sa.Table(
    "sealed",
    METADATA,
    sa.Column("purpose", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

# Certificates of the CA: name is "root" or "issuing"; the highest version is in use.
authorities = sa.Table(
    "authorities",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("certificate_pem", sa.LargeBinary, nullable=False),
)

join_tokens = sa.Table(
    "join_tokens",
    METADATA,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("spiffe_id", sa.String(512), nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("expire_time", UtcTime, nullable=False),
    sa.Column("redeem_time", UtcTime),
    # SHA-256 of the public key it was redeemed for: who lost the answer asks again with the same.
    sa.Column("redeemed_key", sa.LargeBinary(32)),
    sa.Column("claims", sa.Text, nullable=False, server_default=""),
)

# Everybody who was ever let in. `used`: the newest certificate was seen here, so nobody has a reason to show an older.
identities = sa.Table(
    "identities",
    METADATA,
    sa.Column("spiffe_id", sa.String(512), primary_key=True),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("issue_time", UtcTime),
    sa.Column("expire_time", UtcTime),
    sa.Column("serial", sa.String(64), nullable=False),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("renewals", sa.BigInteger, nullable=False),
    sa.Column("claims", sa.Text, nullable=False),
    sa.Column("alarm_time", UtcTime),
)

denied = sa.Table(
    "denied",
    METADATA,
    sa.Column("spiffe_id", sa.String(512), primary_key=True),
    sa.Column("deny_time", UtcTime, nullable=False),
    sa.Column("reason", sa.String(256), nullable=False, server_default=""),
    sa.Column("author", sa.String(512), nullable=False, server_default=""),
    # Set when the denial was taken back. The row stays: revisions must never go back.
    sa.Column("allow_time", UtcTime),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
)

api_keys = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(12), nullable=False, unique=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("expire_time", UtcTime),
    sa.Column("revoke_time", UtcTime),
    # The tenant's name. No foreign key: a tenant may go when all its keys are revoked, and those stay on record.
    sa.Column("tenant", sa.String(63), nullable=False, server_default="default"),
    sa.Column("zone", sa.String(63), nullable=False, server_default=""),
    sa.Column("manage", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)
sa.Index(
    "api_keys_live_name",
    api_keys.c.name,
    unique=True,
    sqlite_where=api_keys.c.revoke_time.is_(None),
    postgresql_where=api_keys.c.revoke_time.is_(None),
)

tenants = sa.Table(
    "tenants",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String(12), nullable=False, unique=True),
    sa.Column("name", sa.String(63), nullable=False, unique=True),
    sa.Column("zone", sa.String(63), nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("create_time", UtcTime, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
