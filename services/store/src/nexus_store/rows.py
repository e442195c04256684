"""Which files there are: statements that run in one transaction, on both databases."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_database import Driver, Row, Schema, Session
from nexus_mesh.core import MeshError, Reason

from nexus_store.contents import Address
from nexus_store.types import Limits, Object, Usage

__all__ = [
    "LAST",
    "SCHEMA",
    "addresses",
    "delete",
    "erase",
    "expired",
    "find",
    "insert",
    "needed",
    "over_quota",
    "page",
    "sweep",
    "usage",
]

AT_ONCE = 1000
"""Rows that one transaction deletes, so that none grows without bound."""
LAST = 2**63 - 1
"""Above any number of a row."""

FIRST = (
    """CREATE TABLE store_objects (
        number {number},
        id {text} NOT NULL UNIQUE,
        tenant {text} NOT NULL,
        purpose {text} NOT NULL,
        filename {text} NOT NULL,
        mime_type {text} NOT NULL,
        size {int64} NOT NULL,
        sha256 {blob} NOT NULL,
        create_time {float64} NOT NULL,
        expire_time {float64}
    )""",
    "CREATE INDEX store_objects_tenant ON store_objects (tenant, number)",
    "CREATE INDEX store_objects_purpose ON store_objects (tenant, purpose, number)",
    "CREATE INDEX store_objects_content ON store_objects (tenant, sha256)",
    "CREATE INDEX store_objects_expired ON store_objects (expire_time) WHERE expire_time IS NOT NULL",
    # Beside the rows: a sum over 100,000 of them would be taken at each put.
    "CREATE TABLE store_usage (tenant {text} PRIMARY KEY, objects {int64} NOT NULL, bytes {int64} NOT NULL)",
)
SECOND = (
    "ALTER TABLE store_objects ADD COLUMN put_key {text}",
    "CREATE UNIQUE INDEX store_objects_put_key ON store_objects (tenant, put_key) WHERE put_key IS NOT NULL",
)
SCHEMA = Schema("store", "store", (FIRST, SECOND))

COLUMNS = "id, tenant, purpose, filename, mime_type, size, sha256, create_time, expire_time"
THERE = "(expire_time IS NULL OR expire_time > ?)"

INSERT = f"INSERT INTO store_objects ({COLUMNS}, put_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# Two that put at the same time wait for each other's row here, so together they don't pass the limit.
TAKE = """
UPDATE store_usage SET objects = objects + 1, bytes = bytes + ?
WHERE tenant = ? AND objects < ? AND bytes + ? <= ? RETURNING objects"""
GIVE_BACK = "UPDATE store_usage SET objects = objects - ?, bytes = bytes - ? WHERE tenant = ?"


def insert(session: Session, one: Object, limits: Limits, key: str = "") -> Object:
    """What is kept then: what was before, under the same key. Raises STORAGE_QUOTA, CONFLICT."""
    driver = session.driver
    if key and (known := _put_before(session, one, key)) is not None:
        return known
    driver.run(
        "INSERT INTO store_usage (tenant, objects, bytes) VALUES (?, 0, 0) ON CONFLICT (tenant) DO NOTHING",
        (one.tenant,),
    )
    most = (limits.objects or LAST, one.size, limits.bytes or LAST)
    if not driver.rows(TAKE, (one.size, one.tenant, *most)):
        raise over_quota(usage(driver, one.tenant), one.size, limits)
    row = (one.id, one.tenant, one.purpose, one.filename, one.mime_type)
    driver.run(INSERT, (*row, one.size, one.sha256, one.create_time, one.expire_time, key or None))
    return one


def _put_before(session: Session, one: Object, key: str) -> Object | None:
    driver, mine = session.driver, (one.tenant, key)
    found = driver.rows(
        f"SELECT {COLUMNS} FROM store_objects WHERE tenant = ? AND put_key = ? AND {THERE}",
        (*mine, session.now),
    )
    if not found:  # or it has expired, and is not swept yet
        driver.run("UPDATE store_objects SET put_key = NULL WHERE tenant = ? AND put_key = ?", mine)
        return None
    known = _object(found[0])
    if known.sha256 != one.sha256:
        raise MeshError(
            Reason.CONFLICT,
            "Another file was put under this idempotency_key: put this one under a key of its own.",
            metadata={"param": "idempotency_key"},
        )
    return known


def over_quota(used: Usage, size: int, limits: Limits) -> MeshError:
    """For a file of so many bytes that does not fit any more."""
    if limits.objects and used.objects >= limits.objects:
        told, limit = f"{used.objects} files, of {limits.objects} that it may", limits.objects
    else:
        told, limit = f"{used.bytes} bytes, of {limits.bytes} that it may, and {size} more came", limits.bytes
    return MeshError(
        Reason.STORAGE_QUOTA,
        f"This tenant keeps {told}: delete some files, or have the operator raise the limit.",
        metadata={"limit": str(limit)},
    )


def find(driver: Driver, tenant: str, object_id: str, now: float) -> Object:
    """Raises OBJECT_NOT_FOUND, also for another tenant's."""
    found = driver.rows(
        f"SELECT {COLUMNS} FROM store_objects WHERE id = ? AND tenant = ? AND {THERE}",
        (object_id, tenant, now),
    )
    if not found:
        raise MeshError(Reason.OBJECT_NOT_FOUND, "There is no such file: it was deleted, or never was there.")
    return _object(found[0])


def page(
    driver: Driver, tenant: str, purpose: str, before: int, limit: int, now: float
) -> list[tuple[int, Object]]:
    """Files with their numbers, the newest first, of those below `before`."""
    where, values = ("AND purpose = ?", (purpose,)) if purpose else ("", ())
    found = driver.rows(
        f"SELECT number, {COLUMNS} FROM store_objects WHERE tenant = ? {where} AND number < ? AND {THERE} "
        "ORDER BY number DESC LIMIT ?",
        (tenant, *values, before, now, limit),
    )
    return [(int(number), _object(tuple(row))) for number, *row in found]


def usage(driver: Driver, tenant: str) -> Usage:
    found = driver.rows("SELECT objects, bytes FROM store_usage WHERE tenant = ?", (tenant,))
    return Usage(int(found[0][0]), int(found[0][1])) if found else Usage()


def delete(session: Session, tenant: str, object_id: str) -> Address:
    """What it stood for, which another may still need. Raises OBJECT_NOT_FOUND."""
    gone = session.driver.rows(
        f"DELETE FROM store_objects WHERE id = ? AND tenant = ? AND {THERE} RETURNING size, sha256",
        (object_id, tenant, session.now),
    )
    if not gone:
        raise MeshError(Reason.OBJECT_NOT_FOUND, "There is no such file: it was deleted, or never was there.")
    ((size, digest),) = gone
    session.driver.run(GIVE_BACK, (1, size, tenant))
    return Address(tenant, bytes(digest))


def expired(driver: Driver, now: float) -> list[str]:
    """Tenants that have files whose time is over."""
    return [
        row[0]
        for row in driver.rows("SELECT DISTINCT tenant FROM store_objects WHERE expire_time <= ?", (now,))
    ]


def sweep(session: Session, tenant: str) -> list[Address]:
    """Removes files whose time is over, some at once: what they stood for, which others may still need."""
    numbers = session.driver.rows(
        f"SELECT number FROM store_objects WHERE tenant = ? AND expire_time <= ? LIMIT {AT_ONCE}",
        (tenant, session.now),
    )
    return _remove(session, tenant, [int(row[0]) for row in numbers])


def erase(session: Session, tenant: str) -> int:
    """Some at once: how many. When there is none any more, what is known of the tenant is gone too."""
    rows = session.driver.rows(
        f"SELECT number FROM store_objects WHERE tenant = ? LIMIT {AT_ONCE}", (tenant,)
    )
    _remove(session, tenant, [int(row[0]) for row in rows])
    if not rows:
        session.driver.run("DELETE FROM store_usage WHERE tenant = ?", (tenant,))
    session.scrub = True
    return len(rows)


def addresses(driver: Driver) -> list[Address]:
    """Every content that is needed."""
    rows = driver.rows("SELECT DISTINCT tenant, sha256 FROM store_objects")
    return [Address(tenant, bytes(digest)) for tenant, digest in rows]


def needed(driver: Driver, address: Address) -> bool:
    """Whether a file stands for that content."""
    statement = "SELECT 1 FROM store_objects WHERE tenant = ? AND sha256 = ? LIMIT 1"
    return bool(driver.rows(statement, (address.tenant, address.sha256)))


def _remove(session: Session, tenant: str, numbers: Sequence[int]) -> list[Address]:
    if not numbers:
        return []
    driver = session.driver
    gone = driver.rows(
        f"DELETE FROM store_objects WHERE {driver.among('number')} RETURNING size, sha256",
        (driver.array(numbers),),
    )
    driver.run(GIVE_BACK, (len(gone), sum(int(size) for size, _ in gone), tenant))
    return [Address(tenant, one) for one in {bytes(digest) for _, digest in gone}]


def _object(row: Row) -> Object:
    object_id, tenant, purpose, filename, mime_type, size, sha256, create_time, expire_time = row
    return Object(
        id=object_id,
        tenant=tenant,
        purpose=purpose,
        filename=filename,
        mime_type=mime_type,
        size=size,
        sha256=bytes(sha256),
        create_time=create_time,
        expire_time=expire_time,
    )
