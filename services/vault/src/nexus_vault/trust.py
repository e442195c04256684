"""What the mesh trusts and whom it denies. Denial is for ever: a withdrawn name is not issued again."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.spiffe import SpiffeId
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.journal import Latest
from nexus_vault.tables import denied

__all__ = ["Trust", "TrustState"]

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
        self.current = Latest(self._state(frozenset()))

    async def load(self) -> None:
        """Reads the stored denials."""
        rows = await self._database.read(sa.select(denied.c.spiffe_id))
        self.current.set(self._state(frozenset(row.spiffe_id for row in rows)))

    def _state(self, names: frozenset[str]) -> TrustState:
        # Neither roots nor denials are ever taken back, so their number serves as the revision.
        return TrustState(self._authority.bundle_pem, names, len(names) + len(self._authority.roots))

    def check(self, spiffe: SpiffeId) -> None:
        """Raises MeshError MESH_IDENTITY when the identity was withdrawn."""
        if str(spiffe) in self.current.value.denied:
            raise MeshError(
                Reason.MESH_IDENTITY, "This identity has been withdrawn. Join under another name."
            )

    async def deny(self, spiffe: SpiffeId) -> None:
        """Withdraws an identity. Twice is no error."""
        name = str(spiffe)

        async def store(connection: AsyncConnection) -> bool:
            there = sa.select(denied.c.spiffe_id).where(denied.c.spiffe_id == name)
            if (await connection.execute(there)).first() is not None:
                return False
            await connection.execute(denied.insert().values(spiffe_id=name, deny_time=self._clock()))
            return True

        def publish(is_new: bool) -> None:
            if is_new:
                self.current.set(self._state(self.current.value.denied | {name}))
                log.warning("identity denied", identity=name)

        await self._database.write(store, publish)
