"""Everybody who was let in: what certificate each has, and whether somebody else seems to have it too."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import prometheus_client
import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import UNLIMITED, Caller, Claims, SpiffeId
from nexus_mesh.rpc import page_size, token_of, words_in

from nexus_vault.ca.issue import Issued
from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.renewals import Renewals
from nexus_vault.tables import denied, identities

__all__ = ["Denial", "IdentityRoll", "KnownIdentity"]

LIST = "identities"

log = telemetry.logger("vault")
COPIED = prometheus_client.Counter(
    "nexus_vault_copied_identities_total", "Renewals of an older certificate beside a newer one in use."
)


@dataclass(frozen=True, slots=True)
class Denial:
    """When an identity was withdrawn, why, and by whom."""

    time: datetime.datetime
    reason: str
    author: str


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    """A row of the roll. `serial` is empty, and times are None, where no certificate was seen."""

    spiffe_id: str
    create_time: datetime.datetime
    issue_time: datetime.datetime | None
    expire_time: datetime.datetime | None
    serial: str
    renewals: int
    claims: Claims
    alarm_time: datetime.datetime | None
    denial: Denial | None


class IdentityRoll:
    """The stored roll. What it learns in passing must not stop anybody: a store that fails then is only logged."""

    def __init__(self, database: Database, life: datetime.timedelta, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock
        self._renewals = Renewals(life, clock)

    async def joined(self, issued: Issued, claims: Claims) -> None:
        """An identity was issued for a join token: whatever was wrong with its certificates of before is over."""
        values = {**self._issued(issued), "renewals": 0, "claims": claims.to_json(), "alarm_time": None}
        await self._put(str(issued.spiffe), values)

    async def saw(self, caller: Caller) -> None:
        """A certificate was used here. One that is newer than we know is one we failed to note."""
        name, known = str(caller.spiffe), await self._find(caller.spiffe)
        if known is None:
            await self._put(name, {**_of(caller), "used": True, "claims": caller.claims.to_json()})
        elif known.serial == caller.serial and not known.used:
            await self._put(name, {"used": True})
        elif known.serial != caller.serial and not _is_older(caller, known):
            await self._put(name, {**_of(caller), "used": True})

    async def check_renewal(self, caller: Caller) -> None:
        """Raises MeshError RATE_LIMIT when it renews too often. An older certificate beside a newer one alarms."""
        self._renewals.take(caller.spiffe)
        known = await self._find(caller.spiffe)
        if known is None or known.serial == caller.serial or not known.used or not _is_older(caller, known):
            return
        # Who of the two is the copy cannot be known here, so nobody is turned out: that is for a person to do.
        COPIED.inc()
        log.error(
            "identity copied: an older certificate was renewed beside a newer one in use",
            identity=str(caller.spiffe),
            older=caller.serial,
            newer=known.serial,
            advice="nexus identities deny ID, then join that machine again under another name",
        )
        await self._put(str(caller.spiffe), {"alarm_time": self._clock()})

    async def renewed(self, issued: Issued) -> None:
        await self._put(str(issued.spiffe), {**self._issued(issued), "renewals": identities.c.renewals + 1})

    async def allowed(self, spiffe: SpiffeId) -> None:
        """The alarm about it is over. Raises MeshError OBJECT_NOT_FOUND."""
        name = str(spiffe)
        if await self._find(spiffe) is None:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND, f"{name} is not known here: `nexus identities list` shows who is."
            )
        await self._database.write(
            lambda connection: connection.execute(
                identities.update().where(identities.c.spiffe_id == name).values(alarm_time=None)
            )
        )

    async def denied(self, spiffe: SpiffeId) -> None:
        """Sees to it that the roll names who is denied, also who never came."""
        if await self._find(spiffe) is None:
            await self._put(str(spiffe), {})

    async def page(self, size: int, token: str) -> tuple[list[KnownIdentity], str]:
        """Up to `size` (0 = 100, at most 1000) by name, and the next page's token. Raises MeshError."""
        limit = page_size(size)
        on = sa.and_(denied.c.spiffe_id == identities.c.spiffe_id, denied.c.allow_time.is_(None))
        statement = (
            sa.select(identities, denied.c.deny_time, denied.c.reason, denied.c.author)
            .select_from(identities.outerjoin(denied, on))
            .order_by(identities.c.spiffe_id)
            .limit(limit + 1)
        )
        if token:
            _, after = words_in(token, 2)
            statement = statement.where(identities.c.spiffe_id > after)
        rows = await self._database.read(statement)
        more = token_of(LIST, rows[limit - 1].spiffe_id) if len(rows) > limit else ""
        return [_known(row) for row in rows[:limit]], more

    def _issued(self, issued: Issued) -> dict[str, Any]:
        times = {"issue_time": self._clock(), "expire_time": issued.expires_at}
        return {**times, "serial": issued.serial, "used": False}

    async def _find(self, spiffe: SpiffeId) -> sa.Row[Any] | None:
        try:
            rows = await self._database.read(
                sa.select(identities).where(identities.c.spiffe_id == str(spiffe))
            )
        except MeshError as error:
            log.warning("the roll of identities cannot be read", cause=error.reason.value)
            return None
        return rows[0] if rows else None

    async def _put(self, name: str, values: dict[str, Any]) -> None:
        first = {"create_time": self._clock(), "serial": "", "used": False, "renewals": 0, "claims": ""}

        async def store(connection: Any) -> None:
            which = identities.c.spiffe_id == name
            there = (await connection.execute(sa.select(identities.c.spiffe_id).where(which))).first()
            if there is None:
                plain = {
                    key: value for key, value in values.items() if not isinstance(value, sa.ColumnElement)
                }
                await connection.execute(identities.insert().values({"spiffe_id": name, **first, **plain}))
            elif values:
                await connection.execute(identities.update().where(which).values(values))

        try:
            await self._database.write(store)
        except MeshError as error:
            log.warning("the roll of identities was not written", identity=name, cause=error.reason.value)


def _of(caller: Caller) -> dict[str, Any]:
    return {"serial": caller.serial, "expire_time": caller.expires_at}


def _is_older(caller: Caller, known: sa.Row[Any]) -> bool:
    return known.expire_time is not None and caller.expires_at <= known.expire_time


def _known(row: sa.Row[Any]) -> KnownIdentity:
    try:
        claims = Claims.from_json(row.claims)
    except ValueError:
        claims = UNLIMITED
    denial = None if row.deny_time is None else Denial(row.deny_time, row.reason, row.author)
    times = (row.create_time, row.issue_time, row.expire_time)
    return KnownIdentity(row.spiffe_id, *times, row.serial, row.renewals, claims, row.alarm_time, denial)
