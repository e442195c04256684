"""Join tokens: a secret that lets one identity in, once, within minutes. Only its digest is stored."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import prometheus_client
import sqlalchemy as sa
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import SECRET_BYTES, UNLIMITED, Claims, SpiffeId
from nexus_mesh.rpc import not_of_this_list, page_size, token_of, words_in
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.pepper import Pepper
from nexus_vault.tables import join_tokens

__all__ = ["DEFAULT_TTL", "MAX_TTL", "JoinTokens", "OpenToken"]

MAX_SECRET_CHARACTERS = 256
DEFAULT_TTL = datetime.timedelta(minutes=10)
MAX_TTL = datetime.timedelta(hours=24)
SUSPECT = datetime.timedelta(hours=1)  # how long after its end a second use withdraws who came first
REMEMBERED = datetime.timedelta(days=30)  # how long a used or expired token is still recognised as one

LIST = "join_tokens"

log = telemetry.logger("vault")
REDEMPTIONS = prometheus_client.Counter(
    "nexus_vault_join_redemptions_total", "Join tokens presented, by outcome.", ["outcome"]
)


@dataclass(frozen=True, slots=True)
class OpenToken:
    """One that may still be redeemed."""

    spiffe_id: str
    create_time: datetime.datetime
    expire_time: datetime.datetime


class JoinTokens:
    """Makes and redeems them. `on_reuse` is called with the identity that a token presented twice let in."""

    def __init__(
        self,
        database: Database,
        pepper: Pepper,
        clock: Clock = utc_now,
        on_reuse: Callable[[SpiffeId], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._on_reuse = on_reuse

    async def create(
        self, spiffe: SpiffeId, ttl: datetime.timedelta, claims: Claims = UNLIMITED
    ) -> tuple[str, datetime.datetime]:
        """A new secret for `spiffe` and when it ends. Raises MeshError INVALID_REQUEST (ttl)."""
        if not datetime.timedelta(0) < ttl <= MAX_TTL:
            raise MeshError(
                Reason.INVALID_REQUEST,
                "ttl must be longer than 0 s and at most 24 h.",
                metadata={"param": "ttl"},
            )
        secret, now = secrets.token_urlsafe(SECRET_BYTES), self._clock()
        row = {
            "digest": self._digest(secret),
            "spiffe_id": str(spiffe),
            "create_time": now,
            "expire_time": now + ttl,
            "claims": claims.to_json(),
        }

        async def store(connection: AsyncConnection) -> None:
            await connection.execute(join_tokens.delete().where(join_tokens.c.expire_time < now - REMEMBERED))
            await connection.execute(join_tokens.insert().values(row))

        await self._database.write(store)
        return secret, now + ttl

    async def redeem(self, secret: str, key: bytes = b"") -> tuple[SpiffeId, Claims]:
        """The identity the secret stands for, once, and what it may claim. Raises MeshError JOIN_TOKEN.

        `key`: SHA-256 of the public key it is redeemed for. Whoever holds that key may ask again while the token lasts:
        the answer may have been lost.
        """
        digest = self._digest(secret[:MAX_SECRET_CHARACTERS])
        # Read before taking: strangers with invented secrets must not queue for the one place to write.
        found = await self._find(digest)
        if found is None or not await self._take(digest, key):
            await self._report(digest)
            raise MeshError(
                Reason.JOIN_TOKEN, "This join token is unknown, used or expired. Ask for a new one."
            )
        REDEMPTIONS.labels("ok").inc()
        return SpiffeId.parse(found.spiffe_id), Claims.from_json(found.claims)

    async def page(self, size: int, token: str) -> tuple[list[OpenToken], str]:
        """Up to `size` (0 = 100, at most 1000) open ones by identity, and the next page's token. Raises MeshError."""
        limit, columns = page_size(size), join_tokens.c
        place = sa.tuple_(columns.spiffe_id, columns.digest)
        statement = (
            sa.select(join_tokens)
            .where(columns.redeem_time.is_(None), columns.expire_time > self._clock())
            .order_by(columns.spiffe_id, columns.digest)
            .limit(limit + 1)
        )
        if token:
            name, digest = _place(token)
            statement = statement.where(place > sa.tuple_(sa.literal(name), sa.literal(digest)))
        rows = await self._database.read(statement)
        last = rows[limit - 1] if len(rows) > limit else None
        more = token_of(LIST, last.spiffe_id, last.digest.hex()) if last is not None else ""
        return [OpenToken(row.spiffe_id, row.create_time, row.expire_time) for row in rows[:limit]], more

    async def _find(self, digest: bytes) -> sa.Row[Any] | None:
        rows = await self._database.read(sa.select(join_tokens).where(join_tokens.c.digest == digest))
        return rows[0] if rows else None

    async def _take(self, digest: bytes, key: bytes) -> bool:
        """The whole of single use: of any number of keys, one finds redeem_time empty."""
        now, columns = self._clock(), join_tokens.c
        unused, again = columns.redeem_time.is_(None), columns.redeemed_key == key if key else sa.false()
        which = (columns.digest == digest, columns.expire_time > now, sa.or_(unused, again))
        values = {"redeem_time": sa.func.coalesce(columns.redeem_time, now), "redeemed_key": key}
        take = join_tokens.update().where(*which).values(values).returning(columns.digest)

        async def store(connection: AsyncConnection) -> bool:
            return (await connection.execute(take)).first() is not None

        return await self._database.write(store)

    async def _report(self, digest: bytes) -> None:
        """Tells the operator, not the caller, what was wrong.

        A second use means that two had the token. Which of them is the identity's owner cannot be known, so it is
        withdrawn; unless it has joined again since, by a token of its own, or the token is long over: then it is more
        likely a member that was away and has nothing newer.
        """
        found = await self._find(digest)
        used = found.redeem_time if found else None
        REDEMPTIONS.labels("reused" if used else "expired" if found else "unknown").inc()
        if found and used:
            log.warning("join_token_reuse", identity=found.spiffe_id, first_use=used.isoformat())
            in_time = self._clock() < found.expire_time + SUSPECT
            if self._on_reuse is not None and in_time and not await self._joined_since(found):
                await self._on_reuse(SpiffeId.parse(found.spiffe_id))

    async def _joined_since(self, token: sa.Row[Any]) -> bool:
        columns = join_tokens.c
        later = (columns.spiffe_id == token.spiffe_id, columns.redeem_time > token.redeem_time)
        return bool(await self._database.read(sa.select(columns.digest).where(*later).limit(1)))

    def _digest(self, secret: str) -> bytes:
        return self._pepper.digest(b"join", secret)


def _place(token: str) -> tuple[str, bytes]:
    """Where a page ended. Raises INVALID_REQUEST."""
    label, name, digest = words_in(token, 3)
    try:
        if label == LIST:
            return name, bytes.fromhex(digest)
    except ValueError:
        pass
    raise not_of_this_list()
