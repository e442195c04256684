"""What the mesh trusts and whom it denies. Denial lasts until an operator takes it back."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import SpiffeId
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.journal import Latest
from nexus_vault.tables import denied
from nexus_vault.tenants import next_revision

__all__ = ["MAX_REASON", "Trust", "TrustState"]

MAX_REASON = 256

log = telemetry.logger("vault")


@dataclass(frozen=True, slots=True)
class TrustState:
    """Roots to trust (PEM), identities to refuse, and a number that grows with every change."""

    bundle_pem: bytes
    denied: frozenset[str]
    revision: int


class Trust:
    """The current state, in memory; denials are stored first."""

    def __init__(self, database: Database, authority: IssuingAuthority, clock: Clock = utc_now) -> None:
        self._database = database
        self._authority = authority
        self._clock = clock
        self.current = Latest(self._state(frozenset(), 0))

    async def load(self) -> None:
        """Reads the stored denials."""
        rows = await self._database.read(sa.select(denied))
        names = frozenset(row.spiffe_id for row in rows if row.allow_time is None)
        self.current.set(self._state(names, max((row.revision for row in rows), default=0)))

    def _state(self, names: frozenset[str], revision: int) -> TrustState:
        # Roots are never taken back, so their number may be part of it.
        return TrustState(self._authority.bundle_pem, names, revision + len(self._authority.roots))

    def check(self, spiffe: SpiffeId) -> None:
        """Raises MeshError MESH_IDENTITY when the identity was withdrawn."""
        if str(spiffe) in self.current.value.denied:
            raise MeshError(
                Reason.MESH_IDENTITY,
                "This identity has been withdrawn. Join under another name, or have an operator allow it again.",
            )

    async def deny(self, spiffe: SpiffeId, reason: str, author: str) -> None:
        """Withdraws an identity. Twice is no error, and the first reason stays. Raises MeshError INVALID_REQUEST."""
        if len(reason) > MAX_REASON or not reason.isprintable():
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"reason must be at most {MAX_REASON} printable characters.",
                metadata={"param": "reason"},
            )
        if str(spiffe) in self.current.value.denied:
            return  # strangers can have this called: once it is done they must not queue for the place to write
        name, now = str(spiffe), self._clock()
        row = {"deny_time": now, "reason": reason, "author": author, "allow_time": None}

        async def store(connection: AsyncConnection) -> int | None:
            if await _is_denied(connection, name):
                return None
            return await _put(connection, name, row, now)

        def publish(revision: int | None) -> None:
            if revision is not None:
                names = self.current.value.denied | {name}
                self.current.set(self._state(names, revision))
                log.warning("identity denied", identity=name, reason=reason, author=author)

        await self._database.write(store, publish)

    async def allow(self, spiffe: SpiffeId, author: str) -> None:
        """Takes a denial back. One that is not denied stays so."""
        name, now = str(spiffe), self._clock()

        async def store(connection: AsyncConnection) -> int | None:
            if not await _is_denied(connection, name):
                return None
            return await _put(connection, name, {"allow_time": now}, now)

        def publish(revision: int | None) -> None:
            if revision is not None:
                self.current.set(self._state(self.current.value.denied - {name}, revision))
                log.warning("identity allowed again", identity=name, author=author)

        await self._database.write(store, publish)


async def _is_denied(connection: AsyncConnection, name: str) -> bool:
    there = sa.select(denied.c.spiffe_id).where(denied.c.spiffe_id == name, denied.c.allow_time.is_(None))
    return (await connection.execute(there)).first() is not None


async def _put(
    connection: AsyncConnection, name: str, values: dict[str, object], now: datetime.datetime
) -> int:
    """Changes or adds a row; the revision of the change."""
    last = (await connection.execute(sa.select(sa.func.max(denied.c.revision)))).scalar()
    values = {**values, "revision": next_revision(last or 0, now)}
    changed = await connection.execute(denied.update().where(denied.c.spiffe_id == name).values(values))
    if not changed.rowcount:
        await connection.execute(denied.insert().values(spiffe_id=name, **values))
    revision = values["revision"]
    assert isinstance(revision, int)  # noqa: S101 - next_revision gives no other
    return revision
